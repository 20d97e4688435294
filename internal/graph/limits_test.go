package graph

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestProfiles(t *testing.T) {
	start := time.Date(2026, 8, 20, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		daily int
		at    time.Duration // when the requests after the first come
		burst int           // pass at once
		wait  time.Duration // the next
	}{
		{"reference", 0, 0, 40, time.Second},
		{"reference", 0, 400 * time.Millisecond, 40, 600 * time.Millisecond},
		{"reference-5s", 0, 2 * time.Second, 40, 3 * time.Second},
		{"reference-5s", 10, time.Hour, 10, 23 * time.Hour},
		{"selfhosted", 0, 0, 4000, 500 * time.Microsecond},
		{"none", 0, 0, 10_000, 0},
	} {
		profile, err := Profile(c.name, c.daily)
		if err != nil {
			t.Fatal(err)
		}
		l := newLocalLimiter(profile)
		allow := func(who caller, now time.Time) time.Duration {
			wait, _ := l.allow(t.Context(), who, now)
			return wait
		}
		passed := 0
		now := start
		for ; passed < 10_000; passed++ {
			if allow(caller{1, uuid.Nil}, now) > 0 {
				break
			}
			now = start.Add(c.at)
		}
		if wait := allow(caller{1, uuid.Nil}, now); passed != c.burst || wait != c.wait {
			t.Errorf("%s: %d passed, then %v; want %d, %v", c.name, passed, wait, c.burst, c.wait)
		}
		if wait := allow(caller{2, uuid.Nil}, now); c.daily == 0 && wait > 0 {
			t.Errorf("%s: another job waits %v", c.name, wait)
		}
		if wait := allow(caller{1, uuid.Nil}, now.Add(24*time.Hour)); wait > 0 {
			t.Errorf("%s: a day later it waits %v", c.name, wait)
		}
	}
	for _, name := range []string{"", "x"} {
		if _, err := Profile(name, 0); err == nil {
			t.Errorf("there is a profile %q", name)
		}
	}
	if _, err := Profile("selfhosted", 5); err == nil {
		t.Error("selfhosted takes a quota")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLocalLimiter(SelfHosted())
	for i := range int64(maxBuckets + 50) {
		l.allow(t.Context(), caller{i, uuid.Nil}, time.Unix(0, 0))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

func TestThrottled(t *testing.T) {
	profile, _ := Profile("reference-5s", 0)
	w := newWorld(t, func(c *Config) { c.Limits = profile })
	for i := range 41 {
		rec := w.send("POST", bulkURL, bulk(1), "Content-Type", "application/scim+json")
		switch {
		case i < 40 && rec.Code != 202:
			t.Fatalf("%d: %d %s", i, rec.Code, rec.Body)
		case i == 40:
			code, message := errorOf(t, rec)
			if rec.Code != 429 || rec.Header().Get("Retry-After") != "5" || code != "TooManyRequests" || message != "Please retry again later." {
				t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
			}
		}
	}
	w.now = w.now.Add(5 * time.Second)
	if rec := w.send("POST", bulkURL, bulk(1), "Content-Type", "application/scim+json"); rec.Code != 202 {
		t.Errorf("5 s later: %d", rec.Code)
	}
}
