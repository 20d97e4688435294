package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed puts the unit, its user and the program where an installation has them, below a directory, and returns that.
func installed(t *testing.T, dropIns ...string) (root string) {
	t.Helper()
	root = t.TempDir()
	put := func(source, target string) {
		target = filepath.Join(root, target)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-r", source, target).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	put("/lib/systemd/system", "lib/systemd/system") // what the unit refers to
	put(binary(), "usr/local/bin/induct")
	put("systemd/induct.service", "etc/systemd/system/induct.service")
	put("systemd/sysusers.conf", "etc/sysusers.d/induct.conf")
	for _, name := range dropIns {
		put("systemd/induct.service.d/"+name, "etc/systemd/system/induct.service.d/"+name)
	}
	return root
}

// exposed is the most that `systemd-analyze security` may find exposed, of 100.
const exposed = "15"

func TestUnitIsAccepted(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	for _, dropIns := range [][]string{nil, {"database.conf"}, {"port443.conf"}, {"database.conf", "port443.conf"}} {
		root := installed(t, dropIns...)
		if out, code := run(t, analyze, "verify", "--root="+root, "induct.service"); code != 0 || out != "" {
			t.Errorf("with %q: exit code %d\n%s", dropIns, code, out)
		}
	}
	root := installed(t)
	if out, code := run(t, analyze, "security", "--root="+root, "--offline=true", "--no-pager", "--threshold="+exposed, "induct.service"); code != 0 {
		t.Errorf("it is exposed to more than %s of 100:\n%s", exposed, out)
	}
}

// TestUnitMistakesAreSeen: the check above does find something.
func TestUnitMistakesAreSeen(t *testing.T) {
	analyze := need(t, "systemd-analyze")
	for _, change := range [][2]string{{"Restart=", "Restrat="}, {"Restart=on-failure", "Restart=sometimes"}, {"bin/induct health", "bin/health"}} {
		root := installed(t)
		unit := filepath.Join(root, "etc/systemd/system/induct.service")
		text := strings.Replace(read(t, unit), change[0], change[1], 1)
		if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := run(t, analyze, "verify", "--root="+root, "induct.service"); code == 0 && out == "" {
			t.Errorf("%s is accepted", change[1])
		}
	}
}

func TestUserIsMade(t *testing.T) {
	root := installed(t)
	if out, code := run(t, need(t, "systemd-sysusers"), "--root="+root, "induct.conf"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if users := read(t, filepath.Join(root, "etc/passwd")); !strings.Contains(users, "induct:x:") || !strings.Contains(users, ":/var/lib/induct:/usr/sbin/nologin") {
		t.Errorf("users: %s", users)
	}
}
