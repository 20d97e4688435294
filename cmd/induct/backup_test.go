package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"induct/internal/sqlstore/pgtest"
)

// contents is what backup, restore and db copy print with --json.
type contents struct {
	Rows     int64
	Checksum string
	Replaced string
	Tables   []struct {
		Name     string
		Rows     int64
		Checksum string
	}
	Header struct{ Tenant, Contains string }
}

// done runs a command that must succeed, with --json.
func done(t *testing.T, args ...string) (c contents) {
	t.Helper()
	r := execute(t, append(args, "--json")...)
	if r.code != 0 {
		t.Fatalf("induct %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	if err := json.Unmarshal([]byte(r.stdout), &c); err != nil || len(c.Checksum) != 64 {
		t.Fatalf("induct %s: %v\n%s", strings.Join(args, " "), err, r.stdout)
	}
	return c
}

// What is backed up under load is one state: restored elsewhere it has the first uploads and none of the later ones, goes on
// with its queue, and when the others are sent again everything is as if nothing had happened.
func TestBackupUnderLoad(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "b.induct")
	l := newLedger(seedOf(t))
	p := start(t, data)
	c := p.client(t)
	stop := l.load(t, c, 4)
	time.Sleep(time.Duration(100+l.intn(300)) * time.Millisecond)
	taken := done(t, "backup", "--data", data, file)
	time.Sleep(time.Duration(l.intn(100)) * time.Millisecond)
	p.kill()
	stop()

	restored := filepath.Join(dir, "restored")
	if got := done(t, "restore", file, "--data", restored); got.Checksum != taken.Checksum || got.Rows != taken.Rows {
		t.Errorf("restored were %d rows %s, backed up %d rows %s", got.Rows, got.Checksum, taken.Rows, taken.Checksum)
	}
	p = start(t, restored)
	c = p.client(t)
	l.forgetLost(t, c)
	l.replay(t, c)
	l.drain(t, c)
	l.sendManagers(t, c)
	l.audit(t, c)
}

// forgetLost finds the uploads that the service does not know, which are to be sent again: those after some moment.
func (l *ledger) forgetLost(t *testing.T, c *client) {
	t.Helper()
	var known, lost []*request
	highest := int64(0)
	for _, r := range l.accepted {
		a, err := c.do(t.Context(), http.MethodGet, c.job+"/uploads/"+r.upload, nil, nil)
		switch {
		case err != nil || a.status != http.StatusOK && a.status != http.StatusNotFound:
			t.Fatalf("upload %s: %d %v", r.upload, a.status, err)
		case a.status == http.StatusNotFound:
			lost = append(lost, r)
		default:
			var u uploadStatus
			if err := json.Unmarshal(a.body, &u); err != nil {
				t.Fatal(err)
			}
			known, highest = append(known, r), max(highest, u.Number)
		}
	}
	t.Logf("%d uploads are in the backup, %d came later", len(known), len(lost))
	if len(known) == 0 || int64(len(known)) > highest || highest > int64(len(known)+len(l.unknown)) {
		t.Errorf("%d uploads are known, the last has number %d, %d had no answer", len(known), highest, len(l.unknown))
	}
	l.accepted, l.unknown = known, append(l.unknown, lost...)
}

// A service that is killed while it is backed up leaves a whole backup, and starts again while that is being made.
func TestKilledWhileBackedUp(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	l := newLedger(seedOf(t))
	for range 4 {
		p := start(t, data)
		stop := l.load(t, p.client(t), 4)
		file := filepath.Join(dir, "b.induct")
		ended := make(chan result, 1)
		go func() { ended <- execute(t, "backup", "--data", data, file) }()
		time.Sleep(time.Duration(l.intn(200)) * time.Millisecond)
		p.kill()
		stop()
		p = start(t, data)
		if r := <-ended; r.code != 0 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
		done(t, "backup", "verify", file)
		p.kill()
	}
	p := start(t, data)
	l.drain(t, p.client(t))
	l.sendManagers(t, p.client(t))
	l.audit(t, p.client(t))
}

// A restore or copy that is killed leaves nothing that serves; the same command makes it good.
func TestKilledWhileRestored(t *testing.T) {
	dir := t.TempDir()
	data, file, restored := filepath.Join(dir, "data"), filepath.Join(dir, "b.induct"), filepath.Join(dir, "restored")
	l := newLedger(seedOf(t))
	p := start(t, data)
	stop := l.load(t, p.client(t), 4)
	time.Sleep(time.Second)
	stop()
	if code := p.stop(t, 10*time.Second); code != 0 {
		t.Fatal("exit code", code)
	}
	want := done(t, "backup", "--data", data, file)
	unfinished := 0
	for ms := 0; ms < 300; ms += 15 {
		for _, args := range [][]string{{"restore", file, "--data", restored}, {"db", "copy", "--from", data, "--to", restored}} {
			cmd := command(t.Context(), args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(ms) * time.Millisecond)
			cmd.Process.Kill()
			cmd.Wait()
			if _, err := os.Stat(filepath.Join(restored, "induct.db.loading")); err == nil {
				unfinished++
				refuses(t, []string{"has not come to its end"}, "serve", "--data", restored, "--listen", "127.0.0.1:0")
			}
			if _, err := os.Stat(filepath.Join(restored, "induct.db")); err == nil { // it was faster
				if err := os.RemoveAll(restored); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if unfinished == 0 {
		t.Error("no restore was killed while it wrote")
	}
	if got := done(t, "db", "copy", "--from", data, "--to", restored); got.Checksum != want.Checksum {
		t.Errorf("the copy has the checksum %s, the backup %s", got.Checksum, want.Checksum)
	}
	p = start(t, restored)
	l.sendManagers(t, p.client(t))
	l.audit(t, p.client(t))
}

// Every wrong way to call the commands is refused before anything is done, with advice.
func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	data, file, other := filepath.Join(dir, "data"), filepath.Join(dir, "b.induct"), filepath.Join(dir, "other")
	p := start(t, data)
	done(t, "backup", "--data", data, file)
	refuses(t, []string{"in use"}, "db", "copy", "--from", data, "--to", other)
	refuses(t, []string{"in use"}, "restore", file, "--data", data, "--force")
	p.kill()
	refuses(t, []string{"--data DIR or --database URL"}, "backup", file)
	refuses(t, []string{"installation already", "--force"}, "restore", file, "--data", data)
	refuses(t, []string{"no database that Induct knows"}, "db", "copy", "--from", data, "--to", "mysql://x")
	if got := done(t, "restore", file, "--data", data, "--force"); got.Replaced == "" {
		t.Error("what was there was not put aside")
	} else if _, err := os.Stat(got.Replaced); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		code int
		word string
		args []string
	}{
		"no installation": {3, "no installation in", []string{"backup", "--data", other, file}},
		"no such folder":  {3, "no such", []string{"backup", "--data", data, filepath.Join(dir, "x", "b")}},
		"no backup":       {3, "not a backup", []string{"backup", "verify", filepath.Join(data, "induct.db")}},
		"cut off":         {2, "Use another backup", []string{"restore", cut(t, file), "--data", other}},
	} {
		r := execute(t, c.args...)
		if r.code != c.code || !strings.Contains(r.stderr, c.word) {
			t.Errorf("%s: exit code %d: %s", what, r.code, r.stderr)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.unfinished")); err != nil || len(left) > 0 {
		t.Errorf("left behind is %v, %v", left, err)
	}
}

// An installation moves to PostgreSQL with its queue, goes on there, and comes back.
func TestMovedToPostgres(t *testing.T) {
	dir, url := t.TempDir(), pgtest.Database(t)
	data, back, file := filepath.Join(dir, "data"), filepath.Join(dir, "back"), filepath.Join(dir, "b.induct")
	l := newLedger(seedOf(t))
	p := start(t, data)
	stop := l.load(t, p.client(t), 4)
	time.Sleep(500 * time.Millisecond)
	p.kill() // so that something waits in the queue
	stop()
	there := done(t, "db", "copy", "--from", data, "--to", url)

	p = start(t, filepath.Join(dir, "replica"), "--database", url)
	c := p.client(t)
	l.replay(t, c)
	stop = l.load(t, c, 4)
	time.Sleep(200 * time.Millisecond)
	backed := done(t, "backup", "--database", url, file)
	stop()
	if backed.Rows < there.Rows || backed.Header.Tenant != there.Header.Tenant {
		t.Errorf("%d rows of tenant %s were moved, %d of %s backed up", there.Rows, there.Header.Tenant, backed.Rows, backed.Header.Tenant)
	}
	refuses(t, []string{"stop all replicas"}, "db", "copy", "--from", url, "--to", back)
	for _, r := range l.accepted {
		c.settled(t, r.upload)
	}
	if code := p.stop(t, 20*time.Second); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	done(t, "db", "copy", "--from", url, "--to", back)
	p = start(t, back)
	c = p.client(t)
	l.drain(t, c)
	l.sendManagers(t, c)
	l.audit(t, c)
}

// cut returns a copy of a file that lacks its end.
func cut(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file+".cut", b[:len(b)-100], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file + ".cut"
}
