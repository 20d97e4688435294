package sqlstore

import "testing"

// What is a comment or a hint for SQLite becomes what PostgreSQL has in its place.
func TestTranslate(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT a FROM b WHERE c = ?1 AND d = ?12 /*FOR UPDATE*/":                    "SELECT a FROM b WHERE c = $1 AND d = $12 FOR UPDATE",
		"SELECT a FROM b p JOIN c j ON p.d = j.d WHERE p.d = ?1 /*FOR UPDATE OF p*/": "SELECT a FROM b p JOIN c j ON p.d = j.d WHERE p.d = $1 FOR UPDATE OF p",
		"SELECT a FROM b INDEXED BY c WHERE d = ?1":                                  "SELECT a FROM b WHERE d = $1",
		"SELECT a FROM b NOT INDEXED /*ONE ROW*/":                                    "SELECT a FROM b /*ONE ROW*/",
	} {
		if got := translate(text); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
