package sqlstore

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"zombiezen.com/go/sqlite"

	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
)

// bounded are the tables that may be read from one end to the other: they are small, or whoever reads stops after a while.
var bounded = []string{"job", "app", "purge", "client", "signing_key", "key_stage", "CONSTANT ROW",
	"log_block", "log_run", // see log.go
	"audit", // see maxAuditScan
}

// whole are the beginnings of statements that may read a table from one end to the other, or sort what they have read.
var whole = []string{
	"SELECT DISTINCT job FROM reference WHERE ready = 0",                  // once, at start
	"SELECT j.pk, j.id, c.content, j.state, j.lanes, j.revision FROM job", // jobs are few
	"SELECT hash FROM key ",                                         // a piece of the filling of the filter
	"SELECT path, records FROM unread_path",                         // see maxUnreadPaths
	"SELECT first, last FROM log_block INDEXED BY log_block_upload", // the few blocks of an upload
}

// No statement reads a table from end to end, or what is other jobs' to find what is this one's. There are no statistics of
// tables, so that a plan is the same for any number of rows. What is looked at is every statement that the contract has run.
func TestPlans(t *testing.T) {
	var mu sync.Mutex
	texts := map[string]bool{}
	t.Run("contract", func(t *testing.T) {
		provisiontest.TestStore(t, func(t *testing.T) provision.Store {
			s := fresh(t)
			s.runs = unmerged{blocks: 3, entries: 20} // an index of the log that is merged all the time
			t.Cleanup(func() {
				mu.Lock()
				defer mu.Unlock()
				for _, text := range prepared(t, s) {
					texts[text] = true
				}
			})
			return s
		})
	})
	s := fresh(t)
	if len(texts) < 60 {
		t.Fatalf("only %d statements were seen", len(texts))
	}
	for text := range texts {
		if err := s.read(t.Context(), func(c Conn) error {
			return query(c, "EXPLAIN QUERY PLAN "+text, nil, func(st Row) error {
				if step := st.ColumnText(3); tooMuch(text, step) {
					t.Errorf("%s\n\t%s", text, step)
				}
				return nil
			})
		}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// tooMuch reports whether a step of a plan reads rows in vain, or sorts them.
func tooMuch(text, step string) bool {
	of := func(beginning string) bool { return strings.HasPrefix(text, beginning) }
	on := func(table string) bool {
		return strings.HasPrefix(step, "SCAN "+table) || strings.HasPrefix(step, "SEARCH "+table)
	}
	if slices.ContainsFunc(whole, of) || slices.ContainsFunc(bounded, on) {
		return false
	}
	return strings.HasPrefix(step, "SCAN ") || strings.Contains(step, "(rowid>?") || strings.Contains(step, "TEMP B-TREE")
}

// prepared returns the statements that a store's connections have prepared.
func prepared(t *testing.T, s *Store) (texts []string) {
	of := func(c *sqlite.Conn) {
		stmts := reflect.ValueOf(c).Elem().FieldByName("stmts") // the library does not tell
		for _, text := range stmts.MapKeys() {
			texts = append(texts, text.String())
		}
	}
	of(s.w.conn)
	for range 4 {
		c, err := s.readers.Take(context.Background())
		if err != nil {
			t.Error(err)
			return texts
		}
		defer s.readers.Put(c)
		of(c)
	}
	return texts
}
