package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// apart lets a process run in a group of its own, so that an interrupt from the terminal is not its own, and not as root.
func apart() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return attr, nil
}

// giveAway gives a file of root's to whom the server runs as.
func giveAway(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return err
	}
	return os.Chown(path, int(uid), int(gid))
}

func unprivileged() (uid, gid uint32, err error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return 0, 0, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	id := func(text string) (n uint64) {
		if err == nil {
			n, err = strconv.ParseUint(text, 10, 32)
		}
		return n
	}
	uid, gid = uint32(id(u.Uid)), uint32(id(u.Gid))
	return uid, gid, err
}

// killChildren kills what the server has started, to the last one, while it is stopped itself and can neither replace nor
// warn them. They are not of its process group: each leads one of its own.
func killChildren(server int) {
	syscall.Kill(server, syscall.SIGSTOP)
	for _, pid := range children(server) {
		syscall.Kill(pid, syscall.SIGKILL)
		for alive(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// alive says whether a process is there and has not ended; one that has ended waits for its parent in state Z.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}

// children are the processes that pid has started.
func children(pid int) (pids []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(field); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
