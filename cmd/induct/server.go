package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"induct/internal/directory"
	"induct/internal/forwarded"
	"induct/internal/graph"
	"induct/internal/localca"
	"induct/internal/metrics"
	"induct/internal/notify"
	"induct/internal/oauth"
	"induct/internal/provision"
	"induct/internal/sqlstore"
)

// settings are what a server is started with.
type settings struct {
	data          string // directory; with a database, of what belongs to this process alone; "": there is none
	database      string // URL of a PostgreSQL database; "": everything is in data
	offline       bool   // nobody is served
	listen        string
	metricsListen string // plain HTTP for those who watch; "": none
	domain        string // default domain of a tenant that is made
	tls           string // "", "local"
	cert, key     string
	tlsNames      []string // more names of the local certificate
	proxies       string   // addresses and networks of trusted proxies
	publicURL     string
	limits        string
	daily         int64
	queueRecords  int64
	reserve       int64
	keep          keepSettings
	shutdownDelay time.Duration // how long it goes on serving, not ready, once it is told to stop
	withoutMail   bool          // jobs start although they have nobody to notify
	mail          mailSettings
	signIn        signInSettings
	log           *slog.Logger
}

// server is an assembled service.
type server struct {
	settings
	store           *sqlstore.Store
	tenant          provision.Tenant
	authority       *oauth.Authority
	users           *directory.Directory
	retention       *sqlstore.Retention
	service         *provision.Service
	sender          *notify.Sender // nil: no mail server is configured
	metrics         *metrics.Metrics
	health          *metrics.Health
	handler         http.Handler
	listener        net.Listener
	metricsListener net.Listener // nil: none
	identities      net.Listener // for local processes; nil: none
	base            string       // scheme and host where it is reached
	caFile          string       // with local TLS
	tlsConfig       *tls.Config  // nil: plain HTTP
}

// open assembles a server on its data directory and listens. Nothing is served before run.
func open(ctx context.Context, set settings) (s *server, err error) {
	if os.Getenv("GOGC") == "" {
		// Much of the heap is tables of fixed size: collecting at half of the usual growth costs no time that can be
		// measured, and saves a third of the memory.
		debug.SetGCPercent(50)
	}
	defer func() {
		if errors.Is(err, provision.ErrDamaged) {
			err = fmt.Errorf("%w\nKeep a copy of everything and look at the disk; then restore the latest backup (docs/operate.md, Damage)", err)
		}
	}()
	s = &server{settings: set}
	if err := errors.Join(s.checkListen(), s.checkMetricsListen(), s.checkIdentityListen(), set.keep.check()); err != nil {
		return nil, err
	}
	if s.sender, err = set.mail.sender(); err != nil {
		return nil, err
	}
	proxies, err := forwarded.ParseProxies(set.proxies)
	if err != nil {
		return nil, fmt.Errorf("--trusted-proxies: %w", err)
	}
	limits, err := rateLimits(set.limits, set.daily)
	if err != nil {
		return nil, err
	}
	if s.store, err = set.openStore(ctx); err != nil {
		return nil, err
	}
	store := s.store // s is nil after a failure
	defer func() {
		if err != nil {
			store.Close()
		}
	}()
	if s.tenant, err = loadTenant(ctx, s.store, set.domain); err != nil {
		return nil, err
	}
	s.users = directory.New(s.store)
	s.users.Retention = set.keep.deleted
	if s.retention, err = sqlstore.NewRetention(s.store, set.keep.Keep, set.log, s.sawDropped); err != nil {
		return nil, err
	}
	if s.authority, err = s.newAuthority(); err != nil {
		return nil, err
	}
	s.service, err = provision.NewService(ctx, provision.Config{Store: s.store, Target: s.users, Tenant: s.tenant, QueueRecords: set.queueRecords,
		WithoutMail: set.withoutMail, Logger: set.log, Observe: s.sawBatch})
	if err != nil {
		return nil, err
	}
	var allowances graph.Allowances // nil: nobody else accepts uploads
	if s.store.Shared() {
		allowances = s.store
	}
	wire := graph.New(graph.Config{
		Service: struct {
			*provision.Service
			*directory.Directory
		}{s.service, s.users},
		Apps: s.store, Tokens: s.authority, PublicURL: set.publicURL, Limits: limits, Logger: set.log, Observe: s.sawRequest,
		RoleMembers: roleMembers(s.store), Retention: s.kept, KeepUploads: set.keep.Uploads, Allowances: allowances,
	})
	s.metrics = metrics.New(metrics.Config{Engine: s.service, Store: watched{s.store}, Version: version})
	s.health = metrics.NewHealth(watched{s.store}, set.log)
	s.handler = forwarded.Handler(proxies, s.route(s.authority.Handler(), wire))
	if err := s.bindMetrics(); err != nil {
		return nil, err
	}
	if err := s.bindIdentities(); err != nil {
		return nil, errors.Join(err, s.closeMetrics())
	}
	if err := s.bind(); err != nil {
		return nil, errors.Join(err, s.closeMetrics(), s.closeIdentities())
	}
	return s, nil
}

// openStore opens what everything is kept in.
func (set *settings) openStore(ctx context.Context) (*sqlstore.Store, error) {
	if set.database == "" {
		return sqlstore.Open(ctx, set.data, sqlstore.Options{ReserveBytes: set.reserve})
	}
	host, _ := os.Hostname()
	return sqlstore.OpenPostgres(ctx, set.database, sqlstore.PostgresOptions{Name: host, Observer: set.offline, Logger: set.log})
}

// where names the store for people, as a command's flag.
func (set *settings) where() string {
	if set.database != "" {
		return "--database URL"
	}
	return "--data " + set.data
}

// route sends a request to the room that knows its path.
func (s *server) route(authority, wire http.Handler) http.Handler {
	watch := s.watch(metrics.LocalOnly(s.metrics.Handler(), s.publicURL != ""))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case oauth.Serves(r.URL.Path):
			authority.ServeHTTP(w, r)
		case slices.Contains(watchPaths, r.URL.Path):
			watch.ServeHTTP(w, r)
		default:
			wire.ServeHTTP(w, r)
		}
	})
}

// checkListen refuses to serve plain HTTP to other machines.
func (s *server) checkListen() error {
	host, _, err := net.SplitHostPort(s.listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not HOST:PORT: %w", s.listen, err)
	}
	if (s.cert == "") != (s.key == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if s.tls != "" && s.tls != "local" {
		return fmt.Errorf("--tls %q: the only value is local; for a certificate of your own use --tls-cert and --tls-key", s.tls)
	}
	if s.tls == "local" && s.data == "" {
		return errors.New("--tls local needs --data DIR, for its certificate authority; several processes need one certificate: --tls-cert and --tls-key")
	}
	if s.tls == "" && s.cert == "" && !loopback(host) {
		return fmt.Errorf("--listen %s would serve plain HTTP to other machines: listen on 127.0.0.1, or give --tls-cert and --tls-key, or --tls local", s.listen)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func rateLimits(profile string, daily int64) (graph.Limits, error) {
	return graph.Profile(profile, int(daily))
}

// bind listens, with TLS if it is configured.
func (s *server) bind() error {
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	host, _, _ := net.SplitHostPort(s.listen)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	s.listener, s.base = l, "http://"+net.JoinHostPort(host, port)
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	switch {
	case s.tls == "local":
		var cert tls.Certificate
		cert, s.caFile, err = localca.Load(filepath.Join(s.data, "tls"), append([]string{host}, s.tlsNames...), time.Now())
		if config.Certificates = []tls.Certificate{cert}; err == nil {
			s.caFile, err = filepath.Abs(s.caFile)
		}
	case s.cert != "":
		var files *certificateFiles
		if files, err = readCertificate(s.cert, s.key, s.log); err == nil {
			config.GetCertificate = files.get
		}
	default:
		return nil
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("TLS: %w", err)
	}
	s.base, s.tlsConfig = "https://"+net.JoinHostPort(host, port), config
	s.listener = tls.NewListener(l, config)
	return nil
}

// drain is how long requests under way may take once the server is told to stop.
const drain = 5 * time.Second

// run serves until ctx ends, then finishes what is in hand and closes the store.
func (s *server) run(ctx context.Context) error {
	requests, endRequests := context.WithCancel(context.Background())
	defer endRequests()
	var unused sync.Map // connections that have not sent a byte: Shutdown would wait for them, five seconds
	web := &http.Server{
		Handler:           s.partingHandler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		WriteTimeout:      3 * time.Minute, // longer than any long poll
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          s.webLog(),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				unused.Store(c, nil)
			} else {
				unused.Delete(c)
			}
		},
	}
	engine, stopEngine := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { s.service.Run(engine) })
	work.Go(func() { s.users.Run(engine, s.log) })
	work.Go(func() { s.retention.Run(engine) })
	work.Go(func() { s.mailer().Run(engine) })
	work.Go(func() { s.tendKeys(engine) })
	failed := make(chan error, 3)
	go func() { failed <- web.Serve(s.listener) }()
	stopMetrics := s.serveMetrics(failed)
	stopIdentities := s.serveIdentities(failed)
	s.log.Info("serving", "version", version, "address", s.base, "metrics", s.metricsBase())
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.log.Info("shutting down")
		s.health.ShutDown()
		// A connection that is closed while a request is on its way loses the request. So load balancers turn away first.
		select {
		case err = <-failed:
		case <-time.After(s.shutdownDelay):
		}
		// Long polls answer at once with what is known; other requests do not look at their context.
		endRequests()
		unused.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		grace, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		if web.Shutdown(grace) != nil {
			web.Close()
		}
	}
	stopEngine()
	work.Wait()
	return errors.Join(err, stopMetrics(), stopIdentities(), s.store.Close())
}

// partingHandler asks clients, once the service is shutting down, to use their connection for nothing else: one that is idle is
// closed then, and a request that is on its way over it would be lost.
func (s *server) partingHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.health.Ending() {
			w.Header().Set("Connection", "close")
		}
		s.handler.ServeHTTP(w, r)
	})
}

// webLog takes what net/http has to say: of connections, which are the clients' affair.
func (s *server) webLog() *log.Logger { return slog.NewLogLogger(s.log.Handler(), slog.LevelDebug) }

// close gives up a server that never ran.
func (s *server) close() error {
	return errors.Join(s.listener.Close(), s.closeMetrics(), s.closeIdentities(), s.store.Close())
}

// loadTenant returns the installation's tenant; the first time, it makes one. Of several processes that start at once on an
// empty database each takes what the first has decided.
func loadTenant(ctx context.Context, store *sqlstore.Store, domain string) (t provision.Tenant, err error) {
	id, err := once(ctx, store, "tenant.id", uuid.NewString)
	if err != nil {
		return t, err
	}
	if t.ID, err = uuid.Parse(id); err != nil {
		return t, fmt.Errorf("tenant.id: %w", err)
	}
	t.DefaultDomain, err = once(ctx, store, "tenant.domain", func() string { return domain })
	t.DisplayName = t.DefaultDomain
	return t, err
}

// once returns a fact about the installation, which is decided the first time.
func once(ctx context.Context, store *sqlstore.Store, name string, decide func() string) (string, error) {
	value, err := store.Setting(ctx, name)
	if value != "" || err != nil {
		return value, err
	}
	return store.PutSettingOnce(ctx, name, decide())
}
