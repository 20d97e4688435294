package deploy_test

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// contained is a program in the image: with its root, its user and its environment, and nothing of this machine but the network.
func contained(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	user, _, _ := strings.Cut(image.dockerfile.last(t, "USER").arguments, ":")
	id, err := strconv.Atoi(user)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Path, cmd.Err, cmd.Dir = args[0], nil, "/" // of the image
	cmd.Env = append(strings.Fields(image.dockerfile.last(t, "ENV").arguments), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: image.root}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
	} else { // needs user namespaces for everybody (kernel.unprivileged_userns_clone)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// own gives the image's user what the Dockerfile gives it with --chown.
func own(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return // it is all of one user
	}
	user, _, _ := strings.Cut(image.dockerfile.last(t, "USER").arguments, ":")
	id, err := strconv.Atoi(user)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"tmp", "var", "var/lib", "var/lib/induct"} {
		if err := os.Chown(filepath.Join(image.root, dir), id, id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImageContent(t *testing.T) {
	var files []string
	err := filepath.WalkDir(image.root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(name, image.root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(files, []string{"/induct"}) {
		t.Errorf("the image has %q, want /induct alone", files)
	}
	program, err := elf.Open(binary())
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	libraries, err := program.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("it needs libraries, which are not there: %q, %v", libraries, err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a loader, which is not there")
		}
	}
	if info, err := os.Stat(binary()); err != nil || info.Size() > 40<<20 {
		t.Errorf("it is not small: %v, %v", info, err)
	}
}

func TestImageVersion(t *testing.T) {
	out, err := contained(t, nil, append(argv(t, image.dockerfile.last(t, "ENTRYPOINT").arguments), "version")...).CombinedOutput()
	if err != nil || string(out) != "induct test\n" {
		t.Errorf("%s, %v; want the version that the build was given", out, err)
	}
}

// TestImageServes runs the service in the image until its own health check is content.
func TestImageServes(t *testing.T) {
	own(t)
	args := slices.Concat(argv(t, image.dockerfile.last(t, "ENTRYPOINT").arguments), argv(t, image.dockerfile.last(t, "CMD").arguments))
	env := []string{"INDUCT_DATA=/var/lib/induct", "INDUCT_LISTEN=:0", "INDUCT_TLS=local", "TZ=Asia/Kolkata", "INDUCT_METRICS_LISTEN=" + free(t)}
	service := contained(t, env, args...)
	var log bytes.Buffer
	service.Stderr = &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- service.Wait() }()

	check := image.dockerfile.last(t, "HEALTHCHECK")
	words := argv(t, strings.TrimPrefix(check.arguments, "CMD "))
	for _, option := range []string{"interval", "timeout", "start-period", "retries"} {
		if check.options[option] == "" {
			t.Errorf("HEALTHCHECK has no --%s", option)
		}
	}
	if out, err := contained(t, env, append(words, "--wait=30s", "--pid="+strconv.Itoa(service.Process.Pid))...).CombinedOutput(); err != nil {
		t.Errorf("the image's health check fails: %v\n%s", err, out)
	}
	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("it did not end well: %v\n%s", err, &log)
		}
	case <-time.After(30 * time.Second):
		t.Error("it did not end")
		service.Process.Kill()
		<-stopped
	}
	if !strings.Contains(log.String(), `+05:30"`) {
		t.Errorf("it knows no time zones:\n%s", &log)
	}
	if out, err := contained(t, env, words...).CombinedOutput(); err == nil {
		t.Errorf("the image's health check is content with a service that has ended: %s", out)
	}
}
