package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes of `induct health`, beside 0 (well) and 1 (the command line is wrong). 2 is not among them: Docker reserves it.
const (
	exitNotReady = 3 // the service answers that it is not ready, and why
	exitNoAnswer = 4 // nobody answers
)

const (
	healthTimeout = 3 * time.Second // of one question; the service answers within half a second
	healthAgain   = 250 * time.Millisecond
	healthAnswer  = 4 << 10 // bytes that are read of an answer
)

func healthCommand() *cobra.Command {
	var set settings
	var live bool
	var wait time.Duration
	var pid int
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the service on this machine whether it is ready",
		Long: "Asks the service on this machine whether it is ready: whether uploads are accepted and can be read. It finds the\n" +
			"service by the settings of `induct serve`, given the same way: flags, INDUCT_… in the environment, induct.yaml.\n" +
			"It asks at --metrics-listen if there is one, else at --listen.\n\n" +
			"Exit codes: 0 ready; 1 the command line or the configuration is wrong; 3 it answers that it is not ready, and\n" +
			"why; 4 nobody answers.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configure(cmd); err != nil {
				return err
			}
			path := "/readyz"
			if live {
				path = "/livez"
			}
			url, err := healthURL(set, path)
			if err != nil {
				return err
			}
			text, err := askUntil(cmd.Context(), url, wait, pid)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&set.listen, "listen", "127.0.0.1:8080", "address that the service listens on")
	f.StringVar(&set.metricsListen, "metrics-listen", "", "`ADDRESS:PORT` of its metrics and health checks")
	f.StringVar(&set.tls, "tls", "", "`local`, if the service has that")
	f.StringVar(&set.cert, "tls-cert", "", "`FILE` with the service's certificate, if it has one; it is not read")
	f.BoolVar(&live, "live", false, "ask only whether the process runs, not whether it is ready")
	f.DurationVar(&wait, "wait", 0, "ask again until it is ready, at most this long")
	f.IntVar(&pid, "pid", 0, "with --wait: the process that is waited for; once it has ended, nobody waits")
	f.String("config", "", "configuration `FILE` in YAML (default induct.yaml if there is one)")
	return cmd
}

// healthURL is where this machine asks a service with these settings for path. An address that stands for all of the
// machine's is asked on loopback.
func healthURL(set settings, path string) (string, error) {
	scheme, flag, address := "http", "--metrics-listen", set.metricsListen
	if address == "" {
		flag, address = "--listen", set.listen
		if set.tls != "" || set.cert != "" {
			scheme = "https"
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%s %q is not HOST:PORT: %w", flag, address, err)
	}
	if port == "" || port == "0" {
		return "", fmt.Errorf("%s %s names no port: the service took any, so say which", flag, address)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if err == nil && ip.Is6() {
			host = "::1"
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port) + path, nil
}

// askUntil asks until the answer is good, wait is over or the process pid (0: none) has ended, at least once. Its errors
// carry their exit code.
func askUntil(ctx context.Context, url string, wait time.Duration, pid int) (string, error) {
	client := &http.Client{
		Timeout: healthTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// The certificate is made out to the name that clients use, not to this machine's loopback. Nothing is sent that
			// another could want, and only one sentence is believed.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	end := time.Now().Add(wait)
	for {
		text, err := ask(ctx, client, url)
		if err == nil || !time.Now().Add(healthAgain).Before(end) {
			return text, err
		}
		if ended(pid) {
			return "", &exitError{exitNoAnswer, fmt.Errorf("process %d has ended; its own log says why", pid)}
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(healthAgain):
		}
	}
}

// ended reports whether the process is known to have ended. 0 is no process, and has not.
func ended(pid int) bool {
	if pid == 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	return err != nil || errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "text/plain")
	resp, err := client.Do(req)
	if err != nil {
		return "", &exitError{exitNoAnswer, fmt.Errorf("nobody answers: %w", err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, healthAnswer))
	if err != nil {
		return "", &exitError{exitNoAnswer, fmt.Errorf("the answer of %s broke off: %w", url, err)}
	}
	text := strings.TrimSpace(string(body))
	switch resp.StatusCode {
	case http.StatusOK:
		return text, nil
	case http.StatusServiceUnavailable:
		return "", &exitError{exitNotReady, errors.New(text)}
	}
	return "", &exitError{exitNotReady, fmt.Errorf("%s answers %s, as no Induct does; is something else listening there?", url, resp.Status)}
}
