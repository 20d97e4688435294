package sqlstore

import (
	"path/filepath"
	"strings"
	"testing"

	"induct/internal/mapping"
	"induct/internal/provision"
)

func TestSpace(t *testing.T) {
	for reserve, want := range map[int64]int64{0: DefaultReserve, 5: 5, -1: 0} {
		s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"), Options{ReserveBytes: reserve})
		if err != nil {
			t.Fatal(err)
		}
		before, err := s.Space()
		if err != nil || before.Database <= 0 || before.Free == 0 || before.Reserve != want {
			t.Errorf("%+v %v", before, err)
		}
		for range 3 {
			if err := s.CheckWrite(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := s.CheckRead(t.Context()); err != nil {
			t.Error(err)
		}
		if after, err := s.Space(); err != nil || after.WAL <= before.WAL {
			t.Errorf("%+v %v: what CheckWrite writes is not in the log", after, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s.CheckRead(t.Context()) == nil || s.CheckWrite(t.Context()) == nil {
			t.Error("a closed store passes its checks")
		}
	}
}

// Errors of calls go to the log: they name rows, not people.
func TestErrorsNameNobody(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	schema, _ := mapping.Template("API2AAD")
	j := &provision.Job{ID: "job", State: provision.JobActive, Schema: schema}
	if err := s.PutJob(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	ada := provision.Person{Anchor: "ada.quist", Kept: []byte(`{"externalId":"ada.quist"}`), Name: "Ada Quist"}
	put := func(u provision.Unit) error { return u.PutPeople([]provision.Person{ada}) }
	if err := s.Unit(t.Context(), provision.Fence{JobPK: j.PK}, put); err != nil {
		t.Fatal(err)
	}
	spoil := func(statement string) {
		t.Helper()
		if err := s.w.do(t.Context(), func(c Conn) error { return query(c, statement, nil, nil) }); err != nil {
			t.Fatal(err)
		}
	}
	spoil("UPDATE person SET kept = x'07ff'")
	_, read := s.People(t.Context(), j.PK, []provision.Sought{{Anchor: "ada.quist", Hash: [16]byte{1}}})
	spoil("CREATE TRIGGER broken BEFORE UPDATE ON person BEGIN SELECT RAISE(ABORT, 'broken'); END")
	wrote := s.Unit(t.Context(), provision.Fence{JobPK: j.PK}, put)
	for what, err := range map[string]error{"read": read, "write": wrote} {
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "ada") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
