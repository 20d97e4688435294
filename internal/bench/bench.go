package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to measure, and where.
type Config struct {
	Graph, Authority, ClientID, ClientSecret, SP, Job string

	HTTP        *http.Client // nil means a client of its own for Connections
	People      int
	Connections int    // requests in flight
	Seed        uint64 // of the workforce
	PID         int    // of the service, to read its peak memory; 0 if it is not known
	Data        string // its data directory, to measure; "" if it is not known
	Progress    func(phase string, done, total int)
}

// Result is one measurement.
type Result struct {
	Name      string  `json:"name"`
	Records   int     `json:"records"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms,omitempty"` // of a request
	P99       float64 `json:"p99_ms,omitempty"`
	PeakRSS   int64   `json:"peak_rss_bytes,omitempty"`
	Disk      int64   `json:"disk_bytes,omitempty"`
	Retries   int64   `json:"retries,omitempty"` // answers 429 and 5xx
}

// runner is a bench under way.
type runner struct {
	Config
	w     Workforce
	token string
}

// Run measures: accept (the job is paused), create, unchanged, changed (1 %), and single records. Each phase but
// accept ends when every record has its end. It gives up at the first error.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	r := &runner{Config: cfg, w: Workforce{Seed: cfg.Seed, People: cfg.People}}
	if r.HTTP == nil {
		r.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConns: cfg.Connections, MaxIdleConnsPerHost: cfg.Connections}}
	}
	if err := r.signIn(ctx); err != nil {
		return nil, err
	}
	var results []Result
	phases := []struct {
		name string
		run  func(context.Context) (Result, error)
	}{
		{"create", func(ctx context.Context) (Result, error) {
			return r.full(ctx, func(int) variant { return variant{} })
		}},
		{"unchanged", func(ctx context.Context) (Result, error) {
			return r.full(ctx, func(int) variant { return variant{} })
		}},
		{"changed 1 %", func(ctx context.Context) (Result, error) {
			return r.full(ctx, func(i int) variant { return variant{changed: i%100 == 7} })
		}},
		{"single record", r.single},
	}
	for _, p := range phases {
		res, err := p.run(ctx)
		if err != nil {
			return results, fmt.Errorf("%s: %w", p.name, err)
		}
		res.Name = p.name
		res.PerSecond = float64(res.Records) / res.Seconds
		res.PeakRSS, res.Disk = peakRSS(r.PID), diskUse(r.Data)
		results = append(results, res)
	}
	return results, nil
}

func (r *runner) signIn(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {r.ClientID}, "client_secret": {r.ClientSecret},
		"scope": {"https://graph.microsoft.com/.default"}}
	req, err := http.NewRequestWithContext(ctx, "POST", r.Authority+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error_description"`
	}
	if err := r.do(req, &got); err != nil {
		return fmt.Errorf("sign in: %w %s", err, got.Error)
	}
	r.token = got.AccessToken
	return nil
}

func (r *runner) do(req *http.Request, into any) error {
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := r.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, res.Status, body)
	}
	return json.Unmarshal(body, into)
}

func (r *runner) jobURL() string {
	return r.Graph + "/servicePrincipals/" + r.SP + "/synchronization/jobs/" + url.PathEscape(r.Job)
}

// full sends everybody, in a random order, and waits until all have their end.
func (r *runner) full(ctx context.Context, of func(int) variant) (Result, error) {
	order := rand.New(rand.NewPCG(r.Seed, uint64(time.Now().UnixNano()))).Perm(r.People)
	const perRequest = 50
	requests := (r.People + perRequest - 1) / perRequest
	var next, retries atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var last string
	var lastNumber int64 = -1
	var failed error
	began := time.Now()
	var wg sync.WaitGroup
	for range r.Connections {
		wg.Go(func() {
			var body []byte
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= requests {
					return
				}
				body = r.w.AppendRequest(body[:0], order[n*perRequest:min(len(order), (n+1)*perRequest)], of)
				t := time.Now()
				id, err := r.post(ctx, body, &retries)
				d := time.Since(t)
				mu.Lock()
				took = append(took, d)
				if err != nil && failed == nil {
					failed = err
					next.Store(int64(requests))
				}
				if int64(n) > lastNumber {
					lastNumber, last = int64(n), id
				}
				if r.Progress != nil {
					r.Progress("send", min(len(took)*perRequest, r.People), r.People)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil || ctx.Err() != nil {
		return Result{}, errors.Join(failed, ctx.Err())
	}
	sent := time.Since(began)
	_ = sent
	if err := r.settled(ctx, last); err != nil {
		return Result{}, err
	}
	slices.Sort(took)
	ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	return Result{Records: r.People, Seconds: time.Since(began).Seconds(), P50: ms(.5), P99: ms(.99), Retries: retries.Load()}, nil
}

// post sends one request until it is accepted and returns the upload's id.
func (r *runner) post(ctx context.Context, body []byte, retries *atomic.Int64) (string, error) {
	for {
		req, err := http.NewRequestWithContext(ctx, "POST", r.jobURL()+"/bulkUpload", bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		req.Header.Set("Content-Type", "application/scim+json")
		res, err := r.HTTP.Do(req)
		if err != nil {
			return "", err
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case res.StatusCode == http.StatusAccepted:
			return res.Header.Get("x-induct-upload-id"), nil
		case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
			retries.Add(1)
			wait, _ := strconv.Atoi(res.Header.Get("Retry-After"))
			time.Sleep(max(time.Duration(wait)*time.Second, 100*time.Millisecond))
		default:
			return "", fmt.Errorf("%s: %s", res.Status, text)
		}
	}
}

// settled waits until nothing is queued and the upload is settled.
func (r *runner) settled(ctx context.Context, upload string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", r.jobURL()+"/uploads/"+upload+"?waitFor=settled&timeout=30", nil)
		if err != nil {
			return err
		}
		var got struct {
			State  string
			Counts map[string]int
		}
		if err := r.do(req, &got); err != nil {
			return err
		}
		if got.Counts["failed"] > 0 {
			return fmt.Errorf("records failed: %v", got.Counts)
		}
		if got.State == "settled" {
			return nil
		}
	}
}

// single measures from the request to the settled receipt, one record at a time.
func (r *runner) single(ctx context.Context) (Result, error) {
	const n = 200
	var retries atomic.Int64
	var took []time.Duration
	began := time.Now()
	for i := range n {
		body := r.w.AppendRequest(nil, []int{r.People + i}, func(int) variant { return variant{} })
		t := time.Now()
		id, err := r.post(ctx, body, &retries)
		if err == nil {
			err = r.settled(ctx, id)
		}
		if err != nil {
			return Result{}, err
		}
		took = append(took, time.Since(t))
	}
	slices.Sort(took)
	ms := func(q float64) float64 { return float64(took[int(q*float64(n-1))].Microseconds()) / 1000 }
	return Result{Records: n, Seconds: time.Since(began).Seconds(), P50: ms(.5), P99: ms(.99)}, nil
}

// peakRSS returns the most memory that the process has had, in bytes; 0 if it cannot be read.
func peakRSS(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

func diskUse(dir string) (n int64) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}
