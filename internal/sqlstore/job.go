package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// jobContent is the part of a job that is stored as JSON.
type jobContent struct {
	TemplateID         string
	ServicePrincipalID uuid.UUID
	ApplicationID      uuid.UUID
	DisplayName        string
	Schema             *mapping.Schema
	Settings           provision.JobSettings
	Created            time.Time
}

// ConfigRevision implements provision.Store.
func (s *Store) ConfigRevision(ctx context.Context) (revision int64, err error) {
	if s.pg == nil { // nobody else writes
		return 0, nil
	}
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT revision FROM config", nil, func(st Row) error {
			revision = st.ColumnInt64(0)
			return nil
		})
	})
	return revision, err
}

// configured notes that a job or an app was written.
func (s *Store) configured(c Conn) error {
	if s.pg == nil {
		return nil
	}
	return query(c, "UPDATE config SET revision = revision + 1", nil, nil)
}

// Jobs implements provision.Store.
func (s *Store) Jobs(ctx context.Context) (jobs []*provision.Job, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT j.pk, j.id, c.content, j.state, j.lanes, j.revision FROM job j JOIN job_content c ON c.job = j.pk ORDER BY j.pk", nil, func(st Row) error {
			var k jobContent
			if err := json.Unmarshal([]byte(st.ColumnText(2)), &k); err != nil {
				return fmt.Errorf("job %d: %w", st.ColumnInt64(0), err)
			}
			jobs = append(jobs, &provision.Job{PK: st.ColumnInt64(0), ID: st.ColumnText(1), State: provision.JobState(st.ColumnText(3)), Lanes: st.ColumnInt(4), Revision: st.ColumnInt64(5),
				TemplateID: k.TemplateID, ServicePrincipalID: k.ServicePrincipalID, ApplicationID: k.ApplicationID,
				DisplayName: k.DisplayName, Schema: k.Schema, Settings: k.Settings, Created: k.Created})
			return nil
		})
	})
	return jobs, err
}

// PutJob implements provision.Store.
func (s *Store) PutJob(ctx context.Context, j *provision.Job, audit ...provision.Audit) error {
	var stored provision.Job
	err := s.db.write(ctx, func(c Conn) error {
		stored = *j
		err := s.putJob(c, &stored)
		for _, a := range audit {
			err = errors.Join(err, s.putAudit(c, a))
		}
		return err
	})
	if err == nil {
		j.PK, j.Lanes, j.Revision = stored.PK, stored.Lanes, stored.Revision
	}
	return err
}

// putJob stores a job and gives it what is the store's. Somebody who has read another revision than there is must read it anew.
func (s *Store) putJob(c Conn, j *provision.Job) error {
	if err := s.configured(c); err != nil {
		return err
	}
	content, err := json.Marshal(jobContent{j.TemplateID, j.ServicePrincipalID, j.ApplicationID, j.DisplayName, j.Schema, j.Settings, j.Created})
	if err != nil {
		return err
	}
	if j.PK != 0 {
		found := false
		err := query(c, "UPDATE job SET state = ?2, revision = revision + 1 WHERE pk = ?1 AND (?3 = 0 OR revision = ?3) RETURNING lanes, revision", []any{j.PK, string(j.State), j.Revision}, func(st Row) error {
			found, j.Lanes, j.Revision = true, st.ColumnInt(0), st.ColumnInt64(1)
			return nil
		})
		if err == nil && !found {
			err = fmt.Errorf("job %s has been changed by somebody else: %w", j.ID, provision.ErrFenced)
		}
		if err != nil {
			return err
		}
		return query(c, "UPDATE job_content SET content = ?2 WHERE job = ?1", []any{j.PK, string(content)}, nil)
	}
	j.Lanes, j.Revision = s.lanes, 1
	if j.PK, err = inserted(c, "INSERT INTO job (id, state, lanes) VALUES (?1, ?2, ?3) RETURNING pk", j.ID, string(j.State), j.Lanes); err != nil {
		return err
	}
	var progress error
	if s.pg == nil {
		progress = query(c, "INSERT INTO progress (job) VALUES (?1)", []any{j.PK}, nil)
	} else {
		progress = errors.Join(query(c, "INSERT INTO progress (job, lanes) VALUES (?1, ?2)", []any{j.PK, packLanes(s.pg.replicas.own(j.Lanes))}, nil), notify(c, j.PK))
	}
	return errors.Join(progress,
		query(c, "INSERT INTO job_content (job, content) VALUES (?1, ?2)", []any{j.PK, string(content)}, nil))
}

// JobStatus implements provision.Store.
func (s *Store) JobStatus(ctx context.Context, jobPK int64) (*provision.JobStatus, error) {
	js := &provision.JobStatus{CycleCounts: map[provision.End]int64{}, TotalCounts: map[provision.End]int64{}}
	err := s.read(ctx, func(c Conn) error {
		var position int64
		var condition string
		steps := []struct {
			text string
			args func() []any
			row  func(Row)
		}{
			{"SELECT j.accepted - p.taken, p.position, p.cycle, p.linked, p.enabled, p.held, p.staged, p.retrying, p.condition, j.next - 1 FROM job j JOIN progress p ON p.job = j.pk WHERE j.pk = ?1", func() []any { return []any{jobPK} }, func(st Row) {
				js.Queued, position, js.Cycle = st.ColumnInt64(0), st.ColumnInt64(1), st.ColumnInt64(2)
				js.Users, js.Enabled, js.Held, js.Staged, js.Retrying = st.ColumnInt64(3), st.ColumnInt64(4), st.ColumnInt64(5), st.ColumnInt64(6), st.ColumnInt64(7)
				condition, js.Uploads = st.ColumnText(8), st.ColumnInt64(9)
			}},
			{"SELECT received FROM upload WHERE job = ?1 AND number > ?2 AND done IS NULL ORDER BY number LIMIT 1", func() []any { return []any{jobPK, position} },
				func(st Row) { js.Oldest = micros(st, 0) }},
			{"SELECT began, ended FROM cycle WHERE job = ?1 AND number = ?2", func() []any { return []any{jobPK, js.Cycle} },
				func(st Row) { js.CycleBegan, js.CycleEnded = micros(st, 0), micros(st, 1) }},
			{"SELECT ended FROM cycle WHERE job = ?1 AND number = 1", func() []any { return []any{jobPK} },
				func(st Row) { js.FirstCycleEnd = micros(st, 0) }},
			{"SELECT cycle, outcome, records FROM tally WHERE job = ?1 AND cycle IN (0, ?2)", func() []any { return []any{jobPK, js.Cycle} }, func(st Row) {
				if st.ColumnInt64(0) == 0 {
					js.TotalCounts[provision.End(st.ColumnText(1))] = st.ColumnInt64(2)
				}
				if st.ColumnInt64(0) == js.Cycle && js.Cycle > 0 {
					js.CycleCounts[provision.End(st.ColumnText(1))] = st.ColumnInt64(2)
				}
			}},
		}
		for _, q := range steps {
			if err := query(c, q.text, q.args(), func(st Row) error { q.row(st); return nil }); err != nil {
				return err
			}
		}
		if condition == "" {
			return fmt.Errorf("job %d: %w", jobPK, provision.ErrNotFound)
		}
		err := json.Unmarshal([]byte(condition), &js.Condition)
		if err != nil {
			return err
		}
		js.Reevaluation, err = reevaluation(c, jobPK)
		return err
	})
	return js, err
}

// UnreadPaths implements provision.Store.
func (s *Store) UnreadPaths(ctx context.Context, jobPK int64) (paths []provision.PathCount, err error) {
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT path, records FROM unread_path WHERE job = ?1 ORDER BY records DESC, path", []any{jobPK}, func(st Row) error {
			paths = append(paths, provision.PathCount{Path: st.ColumnText(0), Records: st.ColumnInt64(1)})
			return nil
		})
	})
	return paths, err
}

// micros returns a column's time, zero if it is null.
func micros(st Row, col int) time.Time {
	if st.ColumnIsNull(col) {
		return time.Time{}
	}
	return time.UnixMicro(st.ColumnInt64(col)).UTC()
}
