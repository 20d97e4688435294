//go:build unix

package faults

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
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

// A database file with a page that is not what was written: the service does not start on it, and says what to do.
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
	s.running()[0].kill()
	// The write-ahead log, which has the newest uploads in it: any frame but those of the last transaction.
	s.refuses(filepath.Join(dir, "induct.db-wal"), func(log []byte) int64 { return rand.Int64N(int64(len(log) / (pageSize + 24) / 2)) })
	s.start(1)
	l.judge()
	s.running()[0].stop(t)
	s.refuses(filepath.Join(dir, "induct.db"), func(file []byte) int64 { return rand.Int64N(int64(len(file) / pageSize)) })
	s.start(1)
	l.judge()
}

// refuses starts the service with a file of which a page is damaged, several times, and leaves the file as it was.
func (s *service) refuses(path string, choose func([]byte) int64) {
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
		case <-r.ended:
		case <-r.serving:
			t.Errorf("it serves although page %d of %s is not what was written", page, path)
			r.kill()
		}
		if text := r.log(); r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "damaged") || !strings.Contains(text, "restore the latest backup") {
			t.Errorf("page %d of %s: it ends with %v: %s", page, path, r.cmd.ProcessState, text)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("the damaged file %s was written to: %v", path, err)
		}
		if err := os.WriteFile(path, sound, 0o600); err != nil {
			t.Fatal(err)
		}
	}
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
	// Everything that was uploaded, as it is read while all is well.
	addresses := []string{l.graph() + "/users?$top=500", l.graph() + "/auditLogs/provisioning?$top=999", l.graph() + "/servicePrincipals"}
	for _, r := range l.requests {
		addresses = append(addresses, l.job()+"/uploads/"+r.Uploads[0], l.job()+"/uploads/"+r.Uploads[0]+"/operations?$top=1000")
	}
	before := map[string]string{}
	for _, a := range addresses {
		status, text := l.read(a)
		if status != http.StatusOK {
			t.Fatalf("GET %s: %d %s", a, status, text)
		}
		before[a] = text
	}
	s.running()[0].stop(t)
	s.start(1) // what is in memory is little
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
	refused := 0
	for _, a := range addresses {
		switch status, text := l.read(a); {
		case status == http.StatusOK && text == before[a]:
		case status == http.StatusServiceUnavailable && strings.Contains(text, "damaged") && strings.Contains(text, "restore a backup"):
			refused++
		default:
			t.Errorf("GET %s: %d %s\nbefore the damage it was %s", a, status, text, before[a])
		}
	}
	if refused == 0 {
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
