package graph

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Scalars are written as encoding/json writes them, whatever they hold.
func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "plain", `"quoted"`, "back\\slash", "ü\u2028", "\x7f", "\xff", "a\nb", "<&>"} {
		f.Add(s, int64(-7), true)
	}
	f.Fuzz(func(t *testing.T, s string, n int64, on bool) {
		for _, v := range []any{s, &s, (*string)(nil), n, int(n), on, nil} {
			var got, want bytes.Buffer
			if err := appendJSON(&got, v); err != nil {
				t.Fatal(err)
			}
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
			if got.String()+"\n" != want.String() {
				t.Errorf("%#v is %s, want %s", v, got.String(), want.String())
			}
		}
	})
}
