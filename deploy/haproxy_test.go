package deploy_test

import (
	"regexp"
	"testing"
	"time"
)

// setting reads a time of haproxy.cfg that stands there once.
func setting(t *testing.T, config, key string) time.Duration {
	t.Helper()
	all := regexp.MustCompile(`(?m)^ +`+key+` (\S+)$`).FindAllStringSubmatch(config, -1)
	if len(all) != 1 {
		t.Fatalf("haproxy.cfg has %d %s, want 1", len(all), key)
	}
	d, err := time.ParseDuration(all[0][1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLoadBalancerTimeouts: what the service answers in time is not cut.
func TestLoadBalancerTimeouts(t *testing.T) {
	config, server := read(t, "haproxy.cfg"), read(t, "../cmd/induct/server.go")
	service := func(key string) time.Duration {
		t.Helper()
		m := regexp.MustCompile(`(?m)^\t\t` + key + `: +(\d+) \* time\.Minute`).FindStringSubmatch(server)
		if m == nil {
			t.Fatalf("%s of the service is not found", key)
		}
		d, err := time.ParseDuration(m[1] + "m")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const longestPoll = 60 * time.Second // docs/graph-extensions.md
	if got := setting(t, config, "timeout server"); got <= service("WriteTimeout") {
		t.Errorf("timeout server is %s, below the service's own", got)
	}
	if got := setting(t, config, "timeout client"); got <= service("ReadTimeout") {
		t.Errorf("timeout client is %s, below the service's own", got)
	}
	if got := setting(t, config, "timeout http-keep-alive"); got >= service("IdleTimeout") {
		t.Errorf("timeout http-keep-alive is %s: the service closes first, under a request's feet", got)
	}
	if got := setting(t, config, "hard-stop-after"); got <= longestPoll {
		t.Errorf("hard-stop-after is %s: long polls are cut", got)
	}
}
