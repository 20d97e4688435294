package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateFiles is a certificate that is read anew when its files change, so that a renewal needs no restart.
type certificateFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed [2]time.Time // when the files that are loaded were written
	looked  time.Time
}

// lookEvery is how often handshakes look whether the files have changed.
const lookEvery = 10 * time.Second

// readCertificate reads the files; what is wrong with them at the start is an error.
func readCertificate(cert, key string, log *slog.Logger) (*certificateFiles, error) {
	c := &certificateFiles{cert: cert, key: key, log: log, looked: time.Now()}
	var err error
	if c.changed, err = c.times(); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	c.loaded = &pair
	return c, err
}

func (c *certificateFiles) times() (t [2]time.Time, err error) {
	for i, file := range []string{c.cert, c.key} {
		info, err := os.Stat(file)
		if err != nil {
			return t, err
		}
		t[i] = info.ModTime()
	}
	return t, nil
}

// get is tls.Config.GetCertificate. Files that cannot be read, or do not belong together, leave the certificate as it is.
func (c *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.loaded, nil
	}
	c.looked = time.Now()
	if err := c.reload(); err != nil {
		c.log.Error("the TLS certificate could not be read anew; the one that was read before stays", "error", err)
	}
	return c.loaded, nil
}

func (c *certificateFiles) reload() error {
	changed, err := c.times()
	if err != nil || changed == c.changed {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.cert, c.key, err)
	}
	c.loaded, c.changed = &pair, changed
	c.log.Info("TLS certificate read anew", "expires", pair.Leaf.NotAfter)
	return nil
}
