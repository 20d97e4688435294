package deploy_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// unitSetting returns the values of a setting of induct.service.
func unitSetting(t *testing.T, key string) (values []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(read(t, "systemd/induct.service"), -1) {
		values = append(values, m[1])
	}
	if len(values) == 0 {
		t.Fatalf("induct.service has no %s", key)
	}
	return values
}

// unitDuration reads a time of induct.service, such as 45s or 35min.
func unitDuration(t *testing.T, key string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(strings.Replace(unitSetting(t, key)[0], "min", "m", 1))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestUnit(t *testing.T) {
	for key, want := range map[string]string{
		"User": "induct", "StateDirectory": "induct", "ProtectSystem": "strict", "NoNewPrivileges": "true", "CapabilityBoundingSet": "",
		"LimitNOFILE": "65536", "Restart": "on-failure", "KillMode": "mixed",
	} {
		if got := unitSetting(t, key); len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
	settings := settingsFile(t)
	if settings["data"] != "/var/lib/"+unitSetting(t, "StateDirectory")[0] {
		t.Errorf("data is %s, and not the state directory, which alone may be written to", settings["data"])
	}
	for _, key := range []string{"ExecStart", "ExecStartPost"} {
		if !strings.Contains(unitSetting(t, key)[0], "--config /etc/induct/induct.yaml") {
			t.Errorf("%s does not read the configuration", key)
		}
	}
	wait := regexp.MustCompile(`--wait (\S+)`).FindStringSubmatch(unitSetting(t, "ExecStartPost")[0])
	if wait == nil {
		t.Fatal("started is not ready")
	}
	if d, err := time.ParseDuration(wait[1]); err != nil || d >= unitDuration(t, "TimeoutStartSec") {
		t.Errorf("it is waited for %s, longer than systemd waits: %v", wait[1], err)
	}
}
