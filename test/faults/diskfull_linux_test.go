package faults

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A disk is where the data is: a small file system of its own, or, for who may not mount one, a limit on the size of files.
type disk struct {
	s       *service
	dir     string
	mounted bool
}

// newDisk mounts a file system of so many bytes.
func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir()}
	err := unix.Mount("none", d.dir, "tmpfs", 0, "size="+size+",mode=0700")
	if err != nil {
		t.Logf("NOT TESTED on a small file system, which cannot be mounted here: %v. A limit on the size of files stands in for it.", err)
		return d
	}
	d.mounted = true
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves at most so many bytes free.
func (d *disk) fill(t *testing.T, left int64) {
	t.Helper()
	if !d.mounted {
		info, err := os.Stat(filepath.Join(d.dir, "data", "induct.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		d.limit(t, uint64(info.Size()+left))
		return
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 64<<10); ; {
		if _, err := f.Write(piece); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(max(info.Size()-left, 0)); err != nil {
		t.Fatal(err)
	}
}

// free makes space again.
func (d *disk) free(t *testing.T) {
	t.Helper()
	if !d.mounted {
		d.limit(t, unix.RLIM_INFINITY)
	} else if err := os.Remove(d.ballast()); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) limit(t *testing.T, size uint64) {
	t.Helper()
	for _, r := range d.s.running() {
		var limit unix.Rlimit
		if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
			t.Fatal(err)
		}
		limit.Cur = min(size, limit.Max)
		if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// On a file system that is full uploads are refused, in words that say why, and reads go on; what was accepted has its
// end once there is space again, also if the process is killed and started before that.
func TestEmbeddedDiskFull(t *testing.T) {
	t.Parallel()
	d := newDisk(t, "64m")
	s := install(t, "--data", filepath.Join(d.dir, "data"), "--reserve-bytes=-1")
	d.s = s
	s.start(1)
	l := s.newLoad(100)
	l.begin(6)
	for round := range long(t, 4) {
		time.Sleep(l.moment(200 * time.Millisecond))
		d.fill(t, int64(l.intn(200<<10)))
		until(t, "uploads are refused", 30*time.Second, func() bool { return l.said("out of space") > 2 })
		l.users()
		if round%2 == 1 {
			s.running()[0].kill()
			r := s.launch()
			select {
			case <-r.serving:
			case <-r.ended: // it may need space to start, and says so
				if text := r.log(); r.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "induct: ") {
					t.Errorf("started on a full disk, it ends with %v: %s", r.cmd.ProcessState, text)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("started on a full disk, it neither serves nor ends")
			}
		}
		d.free(t)
		if len(s.running()) == 0 {
			s.start(1)
		}
		before := l.accepted()
		until(t, "uploads are accepted again", 30*time.Second, func() bool { return l.accepted() > before+5 })
		l.forget()
	}
	l.end()
	l.judge()
}
