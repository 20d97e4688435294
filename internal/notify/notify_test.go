package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"induct/internal/notify/notifytest"
	"induct/internal/provision"
)

// outbox is an Outbox in memory.
type outbox struct {
	mu      sync.Mutex
	notices []provision.Notice
	tried   int
	broken  func(method string) error // nil: nothing fails
}

// file adds notices that are due at once, numbered from 1.
func (o *outbox) file(notices ...provision.Notice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range notices {
		n.ID = int64(len(o.notices) + 1)
		n.NextAttempt = n.Time
		o.notices = append(o.notices, n)
	}
}

func (o *outbox) fails(method string) error {
	if o.broken == nil {
		return nil
	}
	return o.broken(method)
}

func (o *outbox) DueNotices(ctx context.Context, now time.Time, limit int) ([]provision.Notice, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := cmp.Or(ctx.Err(), o.fails("DueNotices")); err != nil {
		return nil, err
	}
	due := slices.DeleteFunc(slices.Clone(o.notices), func(n provision.Notice) bool { return n.NextAttempt.IsZero() || n.NextAttempt.After(now) })
	slices.SortFunc(due, func(a, b provision.Notice) int { return a.NextAttempt.Compare(b.NextAttempt) })
	return due[:min(len(due), limit)], nil
}

func (o *outbox) ClaimNotice(ctx context.Context, id int64, due, until time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := cmp.Or(ctx.Err(), o.fails("ClaimNotice")); err != nil {
		return false, err
	}
	n := &o.notices[id-1]
	if !n.NextAttempt.Equal(due) {
		return false, nil
	}
	n.NextAttempt = until
	return true, nil
}

func (o *outbox) NoticeTried(ctx context.Context, tried provision.Notice) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := cmp.Or(ctx.Err(), o.fails("NoticeTried")); err != nil {
		return err
	}
	n := &o.notices[tried.ID-1]
	tried.Attempts = n.Attempts + 1
	*n = tried
	o.tried++
	return nil
}

func (o *outbox) get(id int64) provision.Notice {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.notices[id-1]
}

// notifier returns a Notifier with an outbox, and a clock that stands still; the log is written to the buffer.
func notifier(s *Sender) (*Notifier, *outbox, *time.Time, *bytes.Buffer) {
	box, now, log := &outbox{}, began, &bytes.Buffer{}
	n := New(Config{Outbox: box, Sender: s, PublicURL: base, Logger: slog.New(slog.NewJSONHandler(log, nil)), Now: func() time.Time { return now }})
	return n, box, &now, log
}

func sendDue(t *testing.T, n *Notifier) {
	t.Helper()
	if err := n.SendDue(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// to returns a notice for the addresses.
func to(addresses ...string) provision.Notice {
	n := samples()["deletes"]
	n.Recipients = addresses
	return n
}

// A server that asks for patience gets it, and then the mail.
func TestGreylisting(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: says("RCPT", "451 4.7.1 come back later")})
	n, box, now, log := notifier(sender(t, of(sink)))
	box.file(to("ops@corp.example"))
	sendDue(t, n)
	got := box.get(1)
	if !got.Sent.IsZero() || got.Attempts != 1 || !strings.Contains(got.Error, "ops@corp.example: 451 4.7.1 come back later") {
		t.Errorf("got %+v", got)
	}
	if d := got.NextAttempt.Sub(*now); d < time.Minute || d > 2*time.Minute {
		t.Errorf("the next attempt is in %v", d)
	}
	sendDue(t, n) // too early
	if box.tried != 1 {
		t.Errorf("%d attempts", box.tried)
	}
	sink.SetScript(nil)
	*now = got.NextAttempt
	sendDue(t, n)
	if got = box.get(1); !got.Sent.Equal(*now) || got.Error != "" || !got.NextAttempt.IsZero() || len(sink.Messages()) != 1 {
		t.Errorf("got %+v", got)
	}
	if text := log.String(); !strings.Contains(text, "could not be sent") || !strings.Contains(text, `"a notice was sent"`) {
		t.Errorf("log:\n%s", text)
	}
	if len(n.unnoted) != 0 {
		t.Errorf("remembered: %v", n.unnoted)
	}
}

// Who has refused for good is named, and the mail is sent all the same.
func TestOneOfTwoRefused(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: refuse("gone@corp.example", "550 5.1.1 no such user")})
	n, box, now, _ := notifier(sender(t, of(sink)))
	box.file(to("gone@corp.example", "ops@corp.example", "no address"))
	sendDue(t, n)
	want := "not delivered to gone@corp.example: 550 5.1.1 no such user; no address: no mail address"
	if got := box.get(1); !got.Sent.Equal(*now) || got.Error != want || !got.NextAttempt.IsZero() {
		t.Errorf("got %+v", got)
	}
	if all := sink.Messages(); len(all) != 1 || !slices.Equal(all[0].To, []string{"ops@corp.example"}) {
		t.Errorf("got %+v", all)
	}
}

// Who may get it later is tried again, alone, and for three days at most.
func TestOneOfTwoDelayed(t *testing.T) {
	for name, patient := range map[string]bool{"and accepted": true, "and never accepted": false} {
		t.Run(name, func(t *testing.T) {
			sink := notifytest.Start(t, notifytest.Options{Script: refuse("slow@corp.example", "450 4.2.1 mailbox busy")})
			n, box, now, _ := notifier(sender(t, of(sink)))
			box.file(to("slow@corp.example", "ops@corp.example"))
			sendDue(t, n)
			if got := box.get(1); !got.Sent.IsZero() || got.NextAttempt.IsZero() || got.Error != "not delivered to slow@corp.example: 450 4.2.1 mailbox busy" {
				t.Errorf("got %+v", got)
			}
			if patient {
				sink.SetScript(nil)
			}
			for next := box.get(1).NextAttempt; !next.IsZero() && box.get(1).Attempts < 1000; next = box.get(1).NextAttempt {
				*now = next
				sendDue(t, n)
			}
			got := box.get(1)
			want := ""
			if !patient {
				want = "given up after 3 days: mail server " + n.cfg.Sender.address + ": RCPT TO: every address was refused; not delivered to slow@corp.example: 450 4.2.1 mailbox busy"
			}
			if !got.Sent.Equal(began) || got.Error != want {
				t.Errorf("sent %v, error %q", got.Sent, got.Error)
			}
			times := make(map[string]int)
			for _, m := range sink.Messages() {
				for _, a := range m.To {
					times[a]++
				}
				if m.Header.Get("To") != "<slow@corp.example>, <ops@corp.example>" {
					t.Errorf("To: %s", m.Header.Get("To"))
				}
			}
			if times["ops@corp.example"] != 1 || (times["slow@corp.example"] == 1) != patient {
				t.Errorf("received: %v", times)
			}
			if len(n.unnoted) != 0 {
				t.Errorf("remembered: %v", n.unnoted)
			}
		})
	}
}

// A mail whose final answer was lost is sent again as it was, with the same Message-ID, so that a mailbox can tell.
func TestLostFinalAnswer(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: says(notifytest.Kept, notifytest.Drop)})
	n, box, now, _ := notifier(sender(t, of(sink)))
	box.file(to("ops@corp.example"))
	sendDue(t, n)
	if got := box.get(1); !got.Sent.IsZero() || !strings.Contains(got.Error, "it may have arrived") {
		t.Errorf("got %+v", got)
	}
	sink.SetScript(nil)
	*now = box.get(1).NextAttempt
	again := New(n.cfg) // even if the service was started anew in between
	sendDue(t, again)
	all := sink.Messages()
	if got := box.get(1); got.Sent.IsZero() || len(all) != 2 {
		t.Fatalf("%d messages, %+v", len(all), got)
	}
	if id := all[0].Header.Get("Message-ID"); id == "" || id != all[1].Header.Get("Message-ID") || !bytes.Equal(all[0].Raw, all[1].Raw) {
		t.Errorf("%s, then %s", all[0].Raw, all[1].Raw)
	}
}

// A server that never accepts is tried at growing intervals, and given up after three days, visibly.
func TestGivenUp(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: says("MAIL", "550 5.7.1 not you")})
	n, box, now, log := notifier(sender(t, of(sink)))
	box.file(to("ops@corp.example"))
	for next := began; !next.IsZero() && box.get(1).Attempts < 1000; next = box.get(1).NextAttempt {
		if d := next.Sub(*now); d > time.Hour || d < time.Minute && next != began {
			t.Errorf("attempt %d comes after %v", box.get(1).Attempts, d)
		}
		*now = next
		sendDue(t, n)
	}
	got := box.get(1)
	if !got.Sent.IsZero() || !strings.HasPrefix(got.Error, "given up after 3 days: mail server ") || !strings.HasSuffix(got.Error, "550 5.7.1 not you") {
		t.Errorf("got %+v", got)
	}
	if age := now.Sub(began); age > patience || age < patience-time.Hour {
		t.Errorf("given up after %v", age)
	}
	if got.Attempts < 72 || got.Attempts > 160 || strings.Count(log.String(), "given up") != 2 { // in the message and in the error
		t.Errorf("%d attempts; log:\n%s", got.Attempts, log)
	}
}

// A notice that is older than that, because the service did not run, gets one chance.
func TestOldNotice(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{})
	n, box, now, _ := notifier(sender(t, of(sink)))
	*now = began.Add(10 * 24 * time.Hour)
	box.file(to("ops@corp.example"))
	sendDue(t, n)
	if got := box.get(1); !got.Sent.Equal(*now) || len(sink.Messages()) != 1 {
		t.Errorf("got %+v", got)
	}
}

// A wrong password is visible where notices are shown, and stands nowhere itself. The server is tried once for all notices.
func TestWrongPassword(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{User: "induct", Password: "another"})
	n, box, now, log := notifier(sender(t, signed(sink)))
	box.file(to("a@corp.example"), to("b@corp.example"), to("c@corp.example"))
	sendDue(t, n)
	for id := range int64(3) {
		if got := box.get(id + 1); !strings.Contains(got.Error, "sign in as induct: 535 5.7.8") || !got.NextAttempt.After(*now) {
			t.Errorf("got %+v", got)
		}
	}
	var tries int
	for _, line := range sink.Lines() {
		if strings.HasPrefix(line, "AUTH") {
			tries++
		}
	}
	if tries != 1 {
		t.Errorf("signed in %d times", tries)
	}
	if text := log.String(); !strings.Contains(text, "535 5.7.8") || strings.Contains(text, "h0rse") {
		t.Errorf("log:\n%s", text)
	}
}

// Nobody gets a mail twice because the outbox cannot note what became of it: neither one that was sent, nor one of which that is unknown.
func TestOutboxCannotNote(t *testing.T) {
	for name, script := range map[string]notifytest.Script{"sent": nil, "unknown": says(notifytest.Kept, notifytest.Drop)} {
		t.Run(name, func(t *testing.T) {
			sink := notifytest.Start(t, notifytest.Options{Script: script})
			n, box, now, _ := notifier(sender(t, of(sink)))
			box.file(to("ops@corp.example"))
			full := errors.New("disk full")
			box.broken = func(method string) error {
				if method == "NoticeTried" {
					return full
				}
				return nil
			}
			for range 2 { // it is not due again before the third
				if err := n.SendDue(t.Context()); !errors.Is(err, full) {
					t.Errorf("got %v", err)
				}
				*now = now.Add(poll)
			}
			box.broken = nil
			sendDue(t, n)
			if all := sink.Messages(); len(all) != 1 || box.get(1).Attempts != 1 {
				t.Errorf("%d messages, %+v", len(all), box.get(1))
			}
			sink.SetScript(nil)
			*now = now.Add(longWait)
			sendDue(t, n)
			want := 1
			if script != nil {
				want = 2
			}
			if got := box.get(1); got.Sent.IsZero() || got.Attempts != want || len(sink.Messages()) != want || len(n.unnoted) != 0 {
				t.Errorf("%d messages, %+v", len(sink.Messages()), got)
			}
		})
	}
}

// A notice that cannot be noted stands in nobody's way.
func TestOneCannotBeNoted(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{})
	n, box, now, _ := notifier(sender(t, of(sink)))
	n.cfg.Outbox = poisoned{box}
	box.file(to("a@corp.example"), to("b@corp.example"))
	for range 200 { // for as long as a memory without a refresh would last
		if err := n.SendDue(t.Context()); err == nil || !strings.Contains(err.Error(), "notice 1: no such notice") {
			t.Fatalf("got %v", err)
		}
		*now = now.Add(time.Hour)
	}
	if got := box.get(2); got.Sent.IsZero() || len(sink.Messages()) != 2 {
		t.Errorf("%d messages, %+v", len(sink.Messages()), got)
	}
}

type poisoned struct{ *outbox }

func (p poisoned) NoticeTried(ctx context.Context, tried provision.Notice) error {
	if tried.ID == 1 {
		return errors.New("no such notice")
	}
	return p.outbox.NoticeTried(ctx, tried)
}

// What cannot be addressed is given up at once.
func TestNobodyToSendTo(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{})
	n, box, _, _ := notifier(sender(t, of(sink)))
	box.file(to(), to("nobody", "x@corp.example\r\nRCPT TO:<y@corp.example>"))
	sendDue(t, n)
	for id, want := range map[int64]string{1: "nobody to send it to",
		2: "nobody to send it to: not delivered to nobody: no mail address; x@corp.example RCPT TO:<y@corp.example>: no mail address"} {
		if got := box.get(id); got.Error != want || !got.NextAttempt.IsZero() || !got.Sent.IsZero() {
			t.Errorf("got %+v", got)
		}
	}
	if lines := sink.Lines(); len(lines) > 0 {
		t.Errorf("commands %q", lines)
	}
}

// Many notices leave in one go, and an outbox that forgets what it is told does not keep us busy for ever.
func TestManyNotices(t *testing.T) {
	n, box, _, log := notifier(nil)
	for range 3*batch + 1 {
		box.file(to("ops@corp.example"))
	}
	sendDue(t, n)
	if box.tried != len(box.notices) {
		t.Errorf("%d tried", box.tried)
	}
	if log.Len() > 0 {
		t.Errorf("log:\n%s", log)
	}
	forgetful := &forgetful{}
	n.cfg.Outbox = forgetful
	sendDue(t, n)
	if forgetful.tried != batch*batches {
		t.Errorf("%d tried", forgetful.tried)
	}
}

type forgetful struct{ tried int }

func (f *forgetful) DueNotices(_ context.Context, _ time.Time, limit int) ([]provision.Notice, error) {
	return slices.Repeat([]provision.Notice{to("ops@corp.example")}, limit), nil
}

func (f *forgetful) ClaimNotice(context.Context, int64, time.Time, time.Time) (bool, error) {
	return true, nil
}

func (f *forgetful) NoticeTried(context.Context, provision.Notice) error {
	f.tried++
	return nil
}

// Run sends at once, at a hint and every half minute, survives errors, says once that there is no server, and ends.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, box, _, log := notifier(nil)
		n.cfg.Now = time.Now
		box.broken = func(string) error { return errors.New("locked") }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		synctest.Wait()
		box.mu.Lock()
		box.broken = nil
		box.mu.Unlock()

		add := func() {
			notice := to("ops@corp.example")
			notice.Time = time.Now()
			box.file(notice)
		}
		unsent := func() (count int) {
			for id := range box.notices {
				if got := box.get(int64(id + 1)); got.Error == Unsent && got.Sent.IsZero() && got.NextAttempt.IsZero() {
					count++
				}
			}
			return count
		}
		add()
		time.Sleep(poll + time.Second)
		if unsent() != 1 {
			t.Error("the first was not seen by polling")
		}
		add()
		synctest.Wait()
		if unsent() != 1 {
			t.Error("the second was seen without a hint")
		}
		for range 10 {
			n.Hint()
		}
		synctest.Wait()
		if unsent() != 2 {
			t.Error("the second was not seen at a hint")
		}
		cancel()
		<-done
		n.Hint() // blocks nobody
		n.Hint()
		if text := log.String(); strings.Count(text, Unsent) != 1 || strings.Count(text, "locked") != 1 {
			t.Errorf("log:\n%s", text)
		}
	})
}

// Told to stop, it stops: an attempt that was cut short is none, one that succeeded is noted.
func TestStopped(t *testing.T) {
	for verb, sent := range map[string]bool{"MAIL": false, "QUIT": true} {
		t.Run(verb, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sink := notifytest.Start(t, notifytest.Options{Script: func(v, _ string) notifytest.Answer {
				if v == verb {
					cancel()
					return notifytest.Hang
				}
				return notifytest.AsUsual
			}})
			n, box, _, log := notifier(sender(t, of(sink)))
			box.file(to("ops@corp.example"))
			n.Run(ctx)
			if got := box.get(1); got.Sent.IsZero() == sent || got.NextAttempt.IsZero() != sent || box.tried > 1 || (box.tried == 1) != sent {
				t.Errorf("%d tried, %+v", box.tried, got)
			}
			if text := log.String(); strings.Contains(text, "error\":\"") {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}

// The pauses grow from one minute to one hour.
func TestWait(t *testing.T) {
	for attempts := -1; attempts < 100; attempts++ {
		for range 100 {
			if d := wait(attempts); d < time.Minute || d > time.Hour || attempts <= 0 && d > 2*time.Minute || attempts > 5 && d < 30*time.Minute {
				t.Fatalf("after %d attempts %v", attempts, d)
			}
		}
	}
}

// Of several processes with one outbox each notice is sent by one; who has it already does not get it again from another. One
// that a process had taken when it died is sent later.
func TestReplicasSendOnce(t *testing.T) {
	sink := notifytest.Start(t, notifytest.Options{Script: refuse("slow@corp.example", "450 4.2.1 mailbox busy")})
	n, box, now, _ := notifier(sender(t, of(sink)))
	replicas := []*Notifier{n, New(n.cfg), New(n.cfg)}
	for range 20 {
		box.file(to("slow@corp.example", "ops@corp.example"))
	}
	var wg sync.WaitGroup
	for _, r := range replicas {
		wg.Go(func() { sendDue(t, r) })
	}
	wg.Wait()
	sink.SetScript(nil)
	*now = now.Add(longWait)
	sendDue(t, replicas[1])
	times := map[string]int{}
	for _, m := range sink.Messages() {
		for _, a := range m.To {
			times[m.Header.Get("Message-ID")+a]++
		}
	}
	for what, n := range times {
		if n != 1 {
			t.Errorf("%s was sent %d times", what, n)
		}
	}
	if len(times) != 40 {
		t.Errorf("%d addresses got mail, want 40", len(times))
	}
	box.file(to("ops@corp.example"))
	if claimed, err := box.ClaimNotice(t.Context(), 21, box.get(21).NextAttempt, now.Add(n.longest()+claimTime)); !claimed || err != nil {
		t.Fatal(claimed, err)
	}
	sendDue(t, n)
	if got := box.get(21); !got.Sent.IsZero() {
		t.Error("a notice that another process has taken was sent")
	}
	*now = now.Add(n.longest() + claimTime)
	sendDue(t, n)
	if got := box.get(21); !got.Sent.Equal(*now) {
		t.Errorf("after the claim of a process that died: %+v", got)
	}
}
