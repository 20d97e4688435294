//go:build unix

package faults

import (
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const pageSize = 4096

// overwrite fills a page of a file, counted from 0, with what was never written there.
func overwrite(t *testing.T, path string, page int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, pageSize)
	if rand.IntN(2) == 0 {
		for i := range b {
			b[i] = byte(rand.Int())
		}
	}
	if _, err := f.WriteAt(b, page*pageSize); err != nil {
		t.Fatal(err)
	}
}

// A known is what was answered while all was well, by address.
type known map[string]string

// know reads everything that was uploaded.
func (l *load) know() known {
	t := l.s.t
	t.Helper()
	before := known{}
	addresses := []string{l.graph() + "/users?$top=500", l.graph() + "/auditLogs/provisioning?$top=999"}
	for _, r := range l.requests {
		addresses = append(addresses, l.job()+"/uploads/"+r.Uploads[0], l.job()+"/uploads/"+r.Uploads[0]+"/operations?$top=1000")
	}
	for _, a := range addresses {
		status, text := l.read(a)
		if status != http.StatusOK {
			t.Fatalf("GET %s: %d %s", a, status, text)
		}
		before[a] = text
	}
	return before
}

// refused reads everything again. What is answered must be as it was, or be refused with advice; it returns how much of it was.
func (l *load) refused(before known) (n int) {
	t := l.s.t
	t.Helper()
	for _, a := range slices.Sorted(maps.Keys(before)) {
		switch status, text := l.read(a); {
		case status == http.StatusOK && text == before[a]:
		case status == http.StatusServiceUnavailable && strings.Contains(text, "damaged") && strings.Contains(text, "restore a backup"):
			n++
		default:
			same := 0
			for same < min(len(text), len(before[a])) && text[same] == before[a][same] {
				same++
			}
			l.s.reasons()
			t.Fatalf("GET %s: %d, and from byte %d on\n%.300s\nbefore the damage it was\n%.300s", a, status, same, text[same:], before[a][same:])
		}
	}
	return n
}

// A database file with a page that is not what was written: the service does not start on it, writes nothing, and says what to
// do. If it starts, the page is a free one, or the end of a large value, and nothing is answered that is not right.
func TestEmbeddedDamagedWhileStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := install(t, "--data", dir)
	s.start(1)
	l := s.newLoad(300)
	l.begin(4)
	until(t, "there is something to damage", 30*time.Second, func() bool { return l.accepted() > 100 })
	l.end()
	l.judge()
	before := l.know()
	s.running()[0].kill()
	// The write-ahead log, which has the newest uploads in it: any frame but those of the last transaction.
	served := s.damaged(filepath.Join(dir, "induct.db-wal"), l, before, func(log []byte) int64 { return rand.Int64N(int64(len(log) / (pageSize + 24) / 2)) })
	if served > 0 {
		t.Errorf("it has served %d times although its write-ahead log was damaged", served)
	}
	s.start(1)
	l.judge()
	s.running()[0].stop(t)
	served = s.damaged(filepath.Join(dir, "induct.db"), l, before, func(file []byte) int64 { return rand.Int64N(int64(len(file) / pageSize)) })
	if served > long(t, 8)/2 {
		t.Errorf("it has served %d times although its file was damaged", served)
	}
	s.start(1)
	l.judge()
}

// damaged starts the service with a file of which a page is damaged, several times, and leaves the file as it was. It returns how
// often the service has served.
func (s *service) damaged(path string, l *load, before known, choose func([]byte) int64) (served int) {
	t := s.t
	t.Helper()
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range long(t, 8) {
		page := choose(sound)
		overwrite(t, path, page)
		damaged, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := s.launch()
		select {
		case <-r.serving:
			s.balance()
			served++
			l.refused(before)
			r.kill()
		case <-r.ended:
			if text := r.log(); r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "damaged") || !strings.Contains(text, "restore the latest backup") {
				t.Errorf("page %d of %s: it ends with %v: %s", page, path, r.cmd.ProcessState, text)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
				t.Errorf("the damaged file %s was written to: %v", path, err)
			}
		}
		if err := os.WriteFile(path, sound, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return served
}

// Pages that are damaged under a running service: what is answered is right or is refused with advice, uploads are
// refused, and the service says that it is not ready.
func TestEmbeddedDamagedWhileServing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := install(t, "--data", dir)
	s.start(1)
	l := s.newLoad(300)
	l.begin(4)
	until(t, "there is something to damage", 30*time.Second, func() bool { return l.accepted() > 100 })
	l.end()
	l.judge()
	before := l.know()
	s.running()[0].stop(t)
	s.start(1)                                                    // what is in memory is little
	if status, text := l.read(l.job()); status != http.StatusOK { // and the keys of tokens
		t.Fatal(status, text)
	}
	path := filepath.Join(dir, "induct.db")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := int64(1); page < info.Size()/pageSize; page++ {
		if rand.IntN(2) == 0 {
			overwrite(t, path, page)
		}
	}
	if l.refused(before) == 0 {
		t.Error("half of the file is damaged, and everything is answered")
	}
	status, _, text := l.post(t.Context(), l.compose())
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "damaged") {
		t.Errorf("an upload: %d %s", status, text)
	}
	until(t, "the service is not ready, for this reason", 15*time.Second, func() bool {
		status, text := l.read(s.running()[0].metrics + "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, `"check":"damage"`)
	})
	s.running()[0].stop(t)
}

// read returns the status and text of a resource.
func (l *load) read(address string) (int, string) {
	t := l.s.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	resp, err := l.http.Do(req)
	if err != nil {
		t.Fatalf("GET %s: %v", address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", address, err)
	}
	return resp.StatusCode, string(body)
}
