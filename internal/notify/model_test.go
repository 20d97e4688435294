package notify

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"induct/internal/notify/notifytest"
	"induct/internal/provision"
)

// Whatever the server does, and whenever the service is killed: each notice ends within three days; who is to get it and is not named
// in its error has it; nobody gets it more often than answers were lost, or memories, plus one; and it is one Message-ID's throughout.
func TestAnyServer(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{NoSTARTTLS: true})
	cfg := of(sink)
	cfg.TLS = TLSNone
	s := sender(t, cfg)
	rapid.Check(t, func(t *rapid.T) {
		faults := rapid.IntRange(0, 40).Draw(t, "faults in a hundred commands")
		kills := rapid.IntRange(0, 20).Draw(t, "kills in a hundred rounds")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		before := len(sink.Messages())
		var lost int
		var mu sync.Mutex
		sink.SetScript(func(verb, arg string) notifytest.Answer {
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(arg, "<gone@") {
				return "550 5.1.1 no such user"
			}
			if verb == "QUIT" || random.IntN(100) >= faults {
				return notifytest.AsUsual
			}
			answers := []notifytest.Answer{"451 4.3.0 not now", "554 5.3.0 not ever", "421 4.3.2 closing", notifytest.Drop}
			answer := answers[random.IntN(len(answers))]
			if verb == notifytest.Kept { // it has the message: any other answer would be a lie that nobody can see through
				answer = notifytest.Drop
				lost++
			}
			return answer
		})
		n, box, now, _ := notifier(s)
		people := []string{"a@corp.example", "b@corp.example", "gone@corp.example"}
		var want [][]string
		for range rapid.IntRange(1, 3).Draw(t, "notices") {
			want = append(want, people[:rapid.IntRange(1, 3).Draw(t, "recipients")])
			box.file(to(want[len(want)-1]...))
		}
		for end := began.Add(patience + 2*longWait); now.Before(end); *now = now.Add(time.Minute) {
			if random.IntN(100) < kills {
				n = New(n.cfg)
				lost++
			}
			if err := n.SendDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(box.notices, func(n provision.Notice) bool { return !n.NextAttempt.IsZero() }) {
				break
			}
		}
		got := make([]map[string]int, len(want))
		for i := range got {
			got[i] = make(map[string]int)
		}
		for _, m := range sink.Messages()[before:] {
			i := slices.IndexFunc(box.notices, func(n provision.Notice) bool {
				return "<"+messageID(n, "corp.example")+">" == m.Header.Get("Message-ID")
			})
			if i < 0 {
				t.Fatalf("whose is %s?", m.Header.Get("Message-ID"))
			}
			for _, a := range m.To {
				got[i][a]++
			}
		}
		for i, notice := range box.notices {
			if !notice.NextAttempt.IsZero() {
				t.Fatalf("no end: %+v", notice)
			}
			for _, a := range want[i] {
				if !notice.Sent.IsZero() && got[i][a] == 0 && !strings.Contains(notice.Error, a) {
					t.Fatalf("%s has not got it, and is not named: %q", a, notice.Error)
				}
				if got[i][a] > 1+lost {
					t.Fatalf("%s got it %d times, with %d losses", a, got[i][a], lost)
				}
			}
			if len(got[i]) > 0 && notice.Sent.IsZero() && lost == 0 || notice.Sent.IsZero() && notice.Error == "" {
				t.Fatalf("%v got it: %+v", got[i], notice)
			}
			for a := range got[i] {
				if !slices.Contains(want[i], a) || a == "gone@corp.example" {
					t.Fatalf("%s got it", a)
				}
			}
		}
	})
}
