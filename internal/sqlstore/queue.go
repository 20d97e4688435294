package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
)

// replayWindow is how long a client-request-id is remembered.
const replayWindow = 24 * time.Hour

// Accept implements provision.Store.
func (s *Store) Accept(ctx context.Context, u provision.Upload, id uuid.UUID, queueRecords int64) (a provision.Accepted, err error) {
	if s.reserve > 0 {
		if free, err := s.space.freeBytes(s.dir); err != nil || free < s.reserve {
			return a, fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", provision.ErrNoSpace, free, s.reserve)
		}
	}
	body := encodeOperations(u.Operations)
	if s.pg != nil {
		return s.pg.accepts.accept(ctx, &accepting{upload: u, id: id, body: body, limit: queueRecords})
	}
	err = s.db.write(ctx, func(c Conn) error {
		if err := replayed(c, &u, &a); err != nil || a.Replay {
			return err
		}
		return accept(c, u, id, body, queueRecords, &a)
	})
	return a, err
}

// replayed looks for the same upload under the same client-request-id.
func replayed(c Conn, u *provision.Upload, a *provision.Accepted) error {
	if u.ClientRequestID == "" {
		return nil
	}
	since := u.Received.Add(-replayWindow).UnixMicro()
	return query(c, "SELECT id, number FROM upload WHERE job = ?1 AND request_id = ?2 AND body_hash = ?3 AND received > ?4 AND purge IS NULL LIMIT 1",
		[]any{u.Job.PK, u.ClientRequestID, u.BodyHash[:], since}, func(st Row) error {
			st.ColumnBytes(0, a.ID[:])
			a.Number, a.Replay = st.ColumnInt64(1), true
			return nil
		})
}

func accept(c Conn, u provision.Upload, id uuid.UUID, body []byte, queueRecords int64, a *provision.Accepted) error {
	n := int64(len(u.Operations))
	number := int64(0)
	err := query(c, "SELECT 1 FROM job WHERE pk = ?1 AND state = ?2", []any{u.Job.PK, string(provision.JobDeleted)}, func(Row) error {
		return fmt.Errorf("job %d: %w", u.Job.PK, provision.ErrNotFound)
	})
	if err != nil {
		return err
	}
	err = query(c, "UPDATE job SET next = next + 1, accepted = accepted + ?2 WHERE pk = ?1 AND accepted + ?2 - (SELECT taken FROM progress WHERE job = ?1) <= ?3 RETURNING next - 1",
		[]any{u.Job.PK, n, queueRecords}, func(st Row) error {
			number = st.ColumnInt64(0)
			return nil
		})
	if err != nil {
		return err
	}
	if number == 0 {
		return provision.ErrQueueFull
	}
	a.ID, a.Number = id, number
	if err := putUpload(c, u, *a); err != nil {
		return err
	}
	return query(c, "INSERT INTO upload_body (job, number, body) VALUES (?1, ?2, ?3)", []any{u.Job.PK, number, body}, nil)
}

func putUpload(c Conn, u provision.Upload, a provision.Accepted) error {
	var requestID *string
	if u.ClientRequestID != "" {
		requestID = &u.ClientRequestID
	}
	return query(c, "INSERT INTO upload (job, number, id, request_id, body_hash, received, operations) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		[]any{u.Job.PK, a.Number, a.ID[:], requestID, u.BodyHash[:], u.Received.UnixMicro(), len(u.Operations)}, nil)
}

// UploadStatus implements provision.Store.
func (s *Store) UploadStatus(ctx context.Context, jobPK int64, id uuid.UUID) (*provision.UploadStatus, error) {
	var us *provision.UploadStatus
	err := s.read(ctx, func(c Conn) error {
		return query(c, `SELECT u.number, j.id, u.request_id, u.received, u.done, u.settled, u.operations, u.counts, (SELECT content FROM purge WHERE pk = u.purge)
			FROM upload u JOIN job j ON j.pk = u.job WHERE u.id = ?1 AND u.job = ?2`, []any{id[:], jobPK}, func(st Row) error {
			us = &provision.UploadStatus{ID: id, Number: st.ColumnInt64(0), JobID: st.ColumnText(1), ClientRequestID: st.ColumnText(2),
				State: provision.UploadAccepted, Received: micros(st, 3), Done: micros(st, 4), Settled: micros(st, 5),
				Operations: st.ColumnInt(6), Counts: map[provision.End]int{}}
			if us.Done.IsZero() {
				if !st.ColumnIsNull(7) { // some lanes have taken up their records
					if err := json.Unmarshal([]byte(st.ColumnText(7)), &us.Counts); err != nil {
						return err
					}
				}
				queued := us.Operations
				for _, n := range us.Counts {
					queued -= n
				}
				us.Counts[provision.EndQueued] = queued
				return nil
			}
			us.State = provision.UploadDone
			if !us.Settled.IsZero() {
				us.State = provision.UploadSettled
			}
			if !st.ColumnIsNull(8) {
				us.Purge = new(provision.Purge)
				if err := json.Unmarshal([]byte(st.ColumnText(8)), us.Purge); err != nil {
					return err
				}
			}
			return json.Unmarshal([]byte(st.ColumnText(7)), &us.Counts)
		})
	})
	if err == nil && us == nil {
		err = fmt.Errorf("upload %s: %w", id, provision.ErrNotFound)
	}
	return us, err
}

// QueuedOperations implements provision.Store.
func (s *Store) QueuedOperations(ctx context.Context, jobPK, number int64) (q provision.Untaken, err error) {
	var body []byte
	err = s.read(ctx, func(c Conn) error {
		return query(c, "SELECT b.body, p.content FROM upload u LEFT JOIN upload_body b ON b.job = u.job AND b.number = u.number LEFT JOIN purge p ON p.pk = u.purge WHERE u.job = ?1 AND u.number = ?2", []any{jobPK, number}, func(st Row) error {
			body = Blob(st, 0)
			if st.ColumnIsNull(1) {
				return nil
			}
			q.Purge = new(provision.Purge)
			return json.Unmarshal([]byte(st.ColumnText(1)), q.Purge)
		})
	})
	if err != nil || body == nil {
		return q, err
	}
	q.Operations, err = decodeOperations(body)
	return q, err
}

// Next implements provision.Store.
func (s *Store) Next(ctx context.Context, jobPK, position, to int64, records int) (uploads []provision.Queued, err error) {
	records = max(records, 1)
	var bodies [][]byte
	err = s.read(ctx, func(c Conn) error {
		if s.pg != nil { // which sends an answer whole: first it is found out how far the batch goes
			left := records
			err := query(c, "SELECT number, operations FROM upload WHERE job = ?1 AND number > ?2 AND number <= ?3 AND done IS NULL ORDER BY number LIMIT ?4", []any{jobPK, position, to, records}, func(st Row) error {
				if left > 0 {
					left, to = left-st.ColumnInt(1), st.ColumnInt64(0)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return query(c, `SELECT u.number, u.received, b.body, u.operations FROM upload u JOIN upload_body b ON b.job = u.job AND b.number = u.number
			WHERE u.job = ?1 AND u.number > ?2 AND u.number <= ?3 AND u.done IS NULL ORDER BY u.number LIMIT ?4`,
			[]any{jobPK, position, to, records}, func(st Row) error {
				if n := st.ColumnInt(3); records > 0 {
					records -= n
					uploads = append(uploads, provision.Queued{Number: st.ColumnInt64(0), Received: micros(st, 1)})
					bodies = append(bodies, Blob(st, 2))
					return nil
				}
				return errEnough
			})
	})
	if err != nil && err != errEnough {
		if s.pg != nil {
			s.pg.replicas.note(jobPK, err)
		}
		return nil, err
	}
	for i := range uploads {
		if uploads[i].Operations, err = decodeOperations(bodies[i]); err != nil {
			return nil, fmt.Errorf("upload %d: %w", uploads[i].Number, err)
		}
	}
	return uploads, nil
}

// OpenCycle implements provision.Store.
func (s *Store) OpenCycle(ctx context.Context, jobPK int64, now time.Time) (cy *provision.Cycle, err error) {
	var idle bool
	err = s.read(ctx, func(c Conn) (err error) {
		cy, idle, err = openCycle(c, jobPK)
		return err
	})
	if err != nil || cy != nil || idle {
		return cy, err
	}
	err = s.db.write(ctx, func(c Conn) (err error) {
		if err := query(c, "SELECT job FROM progress WHERE job = ?1 /*FOR UPDATE*/", []any{jobPK}, func(Row) error { return nil }); err != nil {
			return err
		}
		if cy, idle, err = openCycle(c, jobPK); err != nil || cy != nil || idle {
			return err // somebody else has opened it since
		}
		err = query(c, "UPDATE progress SET cycle = cycle + 1 WHERE job = ?1 RETURNING cycle, (SELECT next - 1 FROM job WHERE pk = ?1)", []any{jobPK}, func(st Row) error {
			cy = &provision.Cycle{Number: st.ColumnInt64(0), To: st.ColumnInt64(1), Began: now}
			return nil
		})
		if err != nil {
			return err
		}
		return query(c, "INSERT INTO cycle (job, number, last, began) VALUES (?1, ?2, ?3, ?4)", []any{jobPK, cy.Number, cy.To, now.UnixMicro()}, nil)
	})
	return cy, err
}

// openCycle returns the job's open cycle, if it has one, and whether nothing waits.
func openCycle(c Conn, jobPK int64) (cy *provision.Cycle, idle bool, err error) {
	idle = true
	err = query(c, `SELECT j.accepted > p.taken, c.number, c.last, c.began, c.ended FROM job j JOIN progress p ON p.job = j.pk
		LEFT JOIN cycle c ON c.job = j.pk AND c.number = p.cycle WHERE j.pk = ?1`, []any{jobPK}, func(st Row) error {
		idle = !st.ColumnBool(0)
		if !st.ColumnIsNull(1) && st.ColumnIsNull(4) {
			cy = &provision.Cycle{Number: st.ColumnInt64(1), To: st.ColumnInt64(2), Began: micros(st, 3)}
		}
		return nil
	})
	return cy, idle, err
}
