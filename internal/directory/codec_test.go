package directory

import (
	"errors"
	"testing"
	"time"

	"induct/internal/expr"
)

func FuzzAttributes(f *testing.F) {
	f.Add([]byte{}, "city", "Bergen", int64(0))
	f.Add([]byte{contentV1, 0xff, 0xff, 0xff, 0xff, 0x0f}, "", "", int64(-1))
	f.Add([]byte{contentV1, 1, 1, 'a', byte(expr.List), 3, 1}, "a", "ü", int64(1)<<62)
	f.Fuzz(func(t *testing.T, stored []byte, name, text string, n int64) {
		for _, b := range [][]byte{stored, append([]byte{contentV1}, stored...)} {
			if _, err := decode(b); err != nil && !errors.Is(err, errCorrupt) {
				t.Errorf("error is %v", err)
			}
		}
		at := time.Unix(n%(1<<35), n&0xffff).In(time.FixedZone("", int(n%(12*60))*60))
		want := map[string]expr.Value{name: expr.Text(text), name + "1": expr.Bool(n > 0), name + "2": expr.Int(n),
			name + "3": expr.Multi(expr.Text(text), expr.Int(n), expr.Bool(false)), name + "4": expr.Multi()}
		if y := at.Year(); y >= 0 && y <= 9999 {
			want[name+"5"] = expr.Time(at)
		}
		got, err := decode(encode(want))
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
		for a, v := range want {
			if got[a].Kind() != v.Kind() || !got[a].Equal(v, true) {
				t.Errorf("%q is %s %q, want %s %q", a, got[a].Kind(), got[a], v.Kind(), v)
			}
		}
	})
}
