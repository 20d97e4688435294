package pack

import "testing"

// What was written is read, and what is cut off is noticed.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(0), int64(0), "", false)
	f.Add(uint64(1)<<63, int64(-1)<<63, "ü\x00", true)
	f.Fuzz(func(t *testing.T, n uint64, i int64, s string, absent bool) {
		opt := &s
		if absent {
			opt = nil
		}
		var e Enc
		e.Uint(n)
		e.Int(i)
		e.Text(s)
		e.Opt(opt)
		read := func(b []byte) (ok, bad bool) {
			d := Dec{B: b}
			gotN, gotI, gotS, gotOpt := d.Uint(), d.Int(), d.Text(), d.Opt()
			same := gotN == n && gotI == i && gotS == s && (gotOpt == nil) == absent && (absent || *gotOpt == s)
			return same && len(d.B) == 0, d.Bad
		}
		if ok, bad := read(e); !ok || bad {
			t.Errorf("%d, %d, %q are not what is read; bad is %v", n, i, s, bad)
		}
		for cut := range e {
			if _, bad := read(e[:cut:cut]); !bad {
				t.Errorf("%d of %d bytes are taken for all", cut, len(e))
			}
		}
		for _, b := range [][]byte{e, []byte(s)} {
			d := Dec{B: b}
			if c := d.Count(); c > len(b) {
				t.Errorf("%d elements in %d bytes", c, len(b))
			}
			d.Byte()
		}
	})
}
