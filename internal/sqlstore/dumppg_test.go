package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"induct/internal/provision"
	"induct/internal/sqlstore/pgtest"
)

// onlyPostgres are the columns and tables that no dump holds: what the processes that share the database say to each other,
// and what is made anew.
var onlyPostgres = map[string][]string{"job": {"lanes"}, "progress": {"epoch", "lanes"}, "key": {"nth"}, "replica": nil, "log_head": nil, "config": nil, "goose_db_version": nil}

// A dump holds every table and every column of PostgreSQL's migrations, too.
func TestDumpedTablesOfPostgres(t *testing.T) {
	t.Parallel()
	s := freshPostgres(t)
	got := map[string][]column{}
	if err := s.Read(t.Context(), func(c Conn) error {
		return query(c, "SELECT CAST(table_name AS text), CAST(column_name AS text), CAST(data_type AS text) FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position", nil, func(r Row) error {
			table, name := r.ColumnText(0), r.ColumnText(1)
			if only, known := onlyPostgres[table]; known && (only == nil || slices.Contains(only, name)) {
				return nil
			}
			kinds := map[string]columnKind{"bigint": integers, "text": texts, "bytea": blobs}
			got[table] = append(got[table], column{name, kinds[r.ColumnText(2)]})
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	for _, table := range dumped() {
		if table.name != laneTable && !slices.Equal(got[table.name], table.columns) {
			t.Errorf("table %s has the columns\n\t%v, a dump has\n\t%v", table.name, got[table.name], table.columns)
		}
		delete(got, table.name)
	}
	for name := range got {
		t.Errorf("table %s is in no dump", name)
	}
}

// What goes from a data directory to PostgreSQL, to another database there and back again is the same, row by row.
func TestToPostgresAndBack(t *testing.T) {
	t.Parallel()
	dir, back, again := t.TempDir(), t.TempDir(), t.TempDir()
	stuff(t, dir, 8, 30)
	one, two := Place{database: pgtest.Database(t)}, Place{database: pgtest.Database(t)}
	there, err := Copy(t.Context(), dirPlace(dir), one, DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b")
	sum, err := Backup(t.Context(), one, file, DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := there.Differs(sum); err != nil || sum.Rows < 700 || sum.Header.Source != "postgresql" {
		t.Errorf("%d rows were copied, %d backed up from %s: %v", there.Rows, sum.Rows, sum.Header.Source, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(b), two, false, DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), two, dirPlace(back), DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(b), dirPlace(again), false, DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	want := content(t, dir)
	if !reflect.DeepEqual(content(t, back), want) || !reflect.DeepEqual(content(t, again), want) {
		t.Error("the rows are not the same")
	}
}

// A database is filled whole or not at all, only if it is empty and nobody is on it; and one on which somebody is cannot be moved away.
func TestPostgresIsFilledOnce(t *testing.T) {
	t.Parallel()
	dir, url := t.TempDir(), pgtest.Database(t)
	stuff(t, dir, 9, 5)
	file, sum := backedUp(t, dir)
	restore := func(ctx context.Context, b *bytes.Reader) error {
		_, err := Restore(ctx, &stalled{b, len(file) / 2, func() {}}, Place{database: url}, false, DumpOptions{})
		return err
	}
	if err := restore(t.Context(), bytes.NewReader(file[:len(file)-1])); !errors.Is(err, ErrDamaged) {
		t.Errorf("most of a backup was restored: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Restore(ctx, &stalled{bytes.NewReader(file), len(file) / 2, cancel}, Place{database: url}, false, DumpOptions{}); err == nil {
		t.Error("it was not interrupted")
	}
	s, err := OpenPostgres(t.Context(), url, PostgresOptions{Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := restore(t.Context(), bytes.NewReader(file)); !errors.Is(err, ErrReplicas) {
		t.Errorf("a database in use was to be filled: %v", err)
	}
	if _, err := Copy(t.Context(), Place{database: url}, dirPlace(t.TempDir()), DumpOptions{}); !errors.Is(err, ErrReplicas) {
		t.Errorf("a database in use was to be moved: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := restore(t.Context(), bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	if err := restore(t.Context(), bytes.NewReader(file)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a database was to be overwritten: %v", err)
	}
	path := filepath.Join(t.TempDir(), "b")
	if got, err := Backup(t.Context(), Place{database: url}, path, DumpOptions{}); err != nil || sum.Differs(got) != nil {
		t.Errorf("%v, %v", sum.Differs(got), err)
	}
}

// After a move numbers go on, of rows, of uploads and of the log, and lanes that are not level stay so; a data directory
// does not take those.
func TestWorkGoesOnAfterAMove(t *testing.T) {
	t.Parallel()
	dir, url, other := t.TempDir(), pgtest.Database(t), pgtest.Database(t)
	k := openKeyed(t, dir)
	person := provision.Person{Anchor: "a", Kept: []byte("{}")}
	write := func(s *Store, job int64) {
		t.Helper()
		var f provision.Fence
		if s.pg != nil {
			f.Free = true
		}
		f.JobPK = job
		if err := s.Unit(t.Context(), f, func(u provision.Unit) error {
			return errors.Join(u.PutPeople([]provision.Person{person}), u.Append([]provision.LogEntry{{JobPK: job, Upload: 1, Cycle: 1, Anchor: "a"}}))
		}); err != nil {
			t.Fatal(err)
		}
	}
	write(k.store, k.job)
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), dirPlace(dir), Place{database: url}, DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	s := openPostgres(t, url, PostgresOptions{})
	person.Anchor = "b"
	write(s, k.job)
	if seq, err := s.LastSeq(t.Context()); err != nil || seq != 2 {
		t.Errorf("the log is at %d, %v", seq, err)
	}
	people := 0
	if err := s.Read(t.Context(), func(c Conn) error {
		return query(c, "SELECT pk FROM person", nil, func(Row) error { people++; return nil })
	}); err != nil || people != 2 {
		t.Errorf("there are %d people, %v", people, err)
	}
	j := &provision.Job{ID: "another", Schema: nil}
	if jobs, err := s.Jobs(t.Context()); err != nil || len(jobs) != 1 || jobs[0].Lanes != provision.MaxLanes {
		t.Errorf("jobs: %v, %v", jobs, err)
	} else {
		j.Schema = jobs[0].Schema
	}
	if err := s.PutJob(t.Context(), j); err != nil || j.PK != k.job+1 {
		t.Errorf("a new job has the number %d, %v", j.PK, err)
	}

	lanes := level(3, 4)
	lanes[2].position = 5
	if err := s.db.write(t.Context(), func(c Conn) error {
		return errors.Join(query(c, "UPDATE progress SET lanes = ?2, position = 3 WHERE job = ?1", []any{j.PK, packLanes(lanes)}, nil),
			query(c, "UPDATE job SET lanes = 4 WHERE pk = ?1", []any{j.PK}, nil))
	}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b")
	sum, err := Backup(t.Context(), Place{database: url}, path, DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(b), dirPlace(t.TempDir()), false, DumpOptions{}); !errors.Is(err, ErrLanes) {
		t.Errorf("a data directory has taken lanes that are not level: %v", err)
	}
	r, err := Restore(t.Context(), bytes.NewReader(b), Place{database: other}, false, DumpOptions{})
	if err != nil || sum.Differs(r.Summary) != nil {
		t.Fatal(sum.Differs(r.Summary), err)
	}
	s2 := openPostgres(t, other, PostgresOptions{})
	if err := s2.Read(t.Context(), func(c Conn) error {
		return query(c, "SELECT p.lanes, j.lanes FROM progress p JOIN job j ON j.pk = p.job WHERE j.pk = ?1", []any{j.PK}, func(r Row) error {
			for i, l := range unpackLanes(Blob(r, 0)) {
				if l.position != lanes[i].position || r.ColumnInt(1) != 4 {
					t.Errorf("lane %d of %d is at %d", i, r.ColumnInt(1), l.position)
				}
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
}
