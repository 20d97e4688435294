package upload

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Journal remembers in a file how far a run has come, so that the same run can go on after it was killed: one JSON
// object a line, each written with one write, the first naming the run.
//
// What makes it safe is not the file but the names of requests: a batch's client-request-id follows from the run's
// id and the batch's number, and the batch itself from the file and the settings, which the fingerprint covers. A batch
// that the journal does not know as accepted is sent again with the same id and the same body, and a service with
// idempotence takes it once. So nothing must be on disk before a request goes out, and what power failure takes from
// the end of the file costs repeated requests, no people. "sent" lines only serve to count what a service without
// idempotence may have twice. "accepted" is synced at most once a second, because a repeated request is cheap.
//
// A nil *Journal remembers nothing.
type Journal struct {
	path    string
	run     uuid.UUID
	began   time.Time
	resumed bool
	past    map[string]past // what earlier processes wrote, by batch

	mu     sync.Mutex
	f      *os.File
	size   int64
	synced time.Time
	stored bool // something was, or may have been, stored by the service
}

// past is what a journal knows of a batch.
type past struct {
	sent     bool
	accepted bool
	split    bool
	without  int    // if split: the operation that was refused, -1 if the batch was halved
	upload   string // the service's id, if accepted
	at       time.Time
	ended    int64 // where the line about its end begins, plus one; 0 if it has none
}

// entry is a line of a journal.
type entry struct {
	What        string         `json:"what"` // run, sent, accepted, split or ended
	Batch       string         `json:"batch,omitempty"`
	At          time.Time      `json:"at,omitzero"`
	Run         string         `json:"run,omitempty"`
	Version     int            `json:"version,omitempty"`
	Fingerprint string         `json:"fingerprint,omitempty"`
	Upload      string         `json:"upload,omitempty"`
	Without     *int           `json:"without,omitempty"`
	Refused     bool           `json:"refused,omitempty"` // ended because the service did not accept it
	Counts      map[string]int `json:"counts,omitempty"`
	Rows        []Outcome      `json:"rows,omitempty"`
}

const (
	journalVersion = 2 // raise it whenever batches or request bodies are made in another way
	longestLine    = 64 << 20
)

// OpenJournal opens the journal of an unfinished run to go on with it, or begins one; restart begins one in any case.
// fingerprint stands for all that the composition of requests depends on: file, mapping, endpoint and settings. The
// file's mode is 0600, and one process at a time has it. Errors, such as an unfinished run with another fingerprint,
// are *ConfigError and say what to do.
func OpenJournal(path, fingerprint string, restart bool) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, configErrorf("journal: %v; --journal names another place, --no-journal does without", err)
	}
	j := &Journal{path: path, f: f, past: map[string]past{}}
	if err := j.open(fingerprint, restart); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// Fingerprint stands for the endpoint, the way in which batches are made, and what else their content depends on,
// such as a hash of the file and the mapping: the same fingerprint means the same requests.
func (c *Client) Fingerprint(parts ...string) string {
	h := sha256.New()
	for _, part := range append(parts, c.jobs, fmt.Sprint(batchSize, batchBytes)) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (j *Journal) open(fingerprint string, restart bool) error {
	if err := lock(j.f); err != nil {
		return configErrorf("journal %s: another upload of this file is running (%v)", j.path, err)
	}
	// Whoever had the lock before may have removed the file that was opened here.
	mine, err := j.f.Stat()
	if err != nil {
		return configErrorf("journal: %v", err)
	}
	if now, err := os.Stat(j.path); err != nil || !os.SameFile(mine, now) {
		return configErrorf("journal %s: another upload of this file has just ended; try again", j.path)
	}
	if !j.isJournal() {
		return configErrorf("%s is not a journal of an upload; --journal names another file", j.path)
	}
	if !restart {
		head, err := j.load()
		if err != nil {
			return err
		}
		if head.Fingerprint == fingerprint || len(j.past) > 0 {
			return j.goOn(head, fingerprint)
		}
	}
	return j.begin(fingerprint)
}

// isJournal keeps a file that was named by mistake from being cut.
func (j *Journal) isJournal() bool {
	const first = `{"what":"run"`
	head := make([]byte, len(first))
	n, _ := j.f.ReadAt(head, 0)
	return string(head[:n]) == first[:n]
}

func (j *Journal) goOn(head entry, fingerprint string) error {
	if head.Fingerprint != fingerprint {
		return configErrorf("%s is the journal of an upload that began %s and has not finished, and since then the file, the mapping, the endpoint or a setting has changed. "+
			"Run it again as it was to finish it, or with --restart to begin anew with everything", j.path, head.At.Local().Format("2006-01-02 15:04"))
	}
	run, err := uuid.Parse(head.Run)
	if err != nil {
		return j.damaged(1)
	}
	j.run, j.began, j.resumed = run, head.At, len(j.past) > 0
	return nil
}

func (j *Journal) damaged(line int) error {
	return configErrorf("journal %s: line %d is damaged or not a journal's; --restart begins anew with everything, --journal names another file", j.path, line)
}

func (j *Journal) begin(fingerprint string) error {
	if err := j.f.Truncate(0); err != nil {
		return configErrorf("journal: %v", err)
	}
	j.size, j.past, j.stored = 0, map[string]past{}, false
	j.run, j.began = uuid.New(), time.Now()
	return j.write(entry{What: "run", Version: journalVersion, Run: j.run.String(), Fingerprint: fingerprint, At: j.began.UTC()}, true)
}

// load reads the lines and cuts a torn last one off. The head is zero if the file is empty.
func (j *Journal) load() (head entry, err error) {
	in := bufio.NewReader(j.f)
	for n := 1; ; n++ {
		line, err := readLine(in)
		if err == io.EOF { // what follows the last line break was not written to its end
			break
		}
		if err != nil {
			return head, j.damaged(n)
		}
		var e entry
		if json.Unmarshal(line, &e) != nil || (n == 1) != (e.What == "run") {
			return head, j.damaged(n)
		}
		if n == 1 {
			if head = e; e.Version != journalVersion {
				return head, configErrorf("journal %s was written by another version of this program; finish with that, or begin anew with --restart", j.path)
			}
		} else {
			j.note(e, j.size)
		}
		j.size += int64(len(line))
	}
	if err := j.f.Truncate(j.size); err != nil {
		return head, configErrorf("journal: %v", err)
	}
	return head, nil
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
		if len(line) > longestLine {
			return nil, errors.New("the line is too long")
		}
	}
}

func (j *Journal) note(e entry, offset int64) {
	p := j.past[e.Batch]
	switch e.What {
	case "sent":
		if !p.sent {
			p.sent, p.at = true, e.At
		}
	case "accepted":
		p.accepted, p.upload, p.at = true, e.Upload, e.At
		j.stored = true
	case "split":
		if p.split, p.without = true, -1; e.Without != nil {
			p.without = *e.Without
		}
	case "ended":
		p.ended = offset + 1
		j.stored = j.stored || !e.Refused
	}
	j.past[e.Batch] = p
	j.stored = j.stored || p.sent
}

// Resumed tells whether this goes on with an earlier run, and when that began.
func (j *Journal) Resumed() (began time.Time, ok bool) {
	if j == nil {
		return began, false
	}
	return j.began, j.resumed
}

// Path returns where the journal is.
func (j *Journal) Path() string { return j.path }

// before returns what earlier processes of the run knew of a batch.
func (j *Journal) before(batch string) past {
	if j == nil {
		return past{}
	}
	return j.past[batch]
}

// end reads the line about the end of a batch.
func (j *Journal) end(p past) (e entry, err error) {
	line, err := readLine(bufio.NewReader(io.NewSectionReader(j.f, p.ended-1, longestLine)))
	if err == nil {
		err = json.Unmarshal(line, &e)
	}
	if err != nil {
		return e, fmt.Errorf("journal %s: reading it again: %w", j.path, err)
	}
	return e, nil
}

// write appends e. A journal that cannot be written ends the run: it could not be resumed.
func (j *Journal) write(e entry, sync bool) error {
	if j == nil {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.WriteAt(b.Bytes(), j.size); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	j.size += int64(b.Len())
	if now := time.Now(); sync && now.Sub(j.synced) >= time.Second {
		j.synced = now
		if err := j.f.Sync(); err != nil {
			return fmt.Errorf("journal %s: %w", j.path, err)
		}
	}
	return nil
}

// keep says that the service has stored something, or may have: from now on there is something to resume.
func (j *Journal) keep() {
	if j != nil {
		j.mu.Lock()
		j.stored = true
		j.mu.Unlock()
	}
}

// Close closes the journal, and removes it if the run has finished or nothing of it can have been stored.
// kept tells whether there is something to go on with.
func (j *Journal) Close(finished bool) (kept bool, err error) {
	if j == nil {
		return false, nil
	}
	kept = j.stored && !finished
	if kept {
		return kept, errors.Join(j.f.Sync(), j.f.Close())
	}
	gone := os.Remove(j.path) // while the lock is held: whoever has it next may write there
	err = j.f.Close()
	if gone != nil { // Windows removes no file that is open
		gone = os.Remove(j.path)
	}
	if !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return kept, err
}
