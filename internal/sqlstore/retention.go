package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"induct/internal/provision"
	"induct/internal/sqlstore/pack"
)

// Retention drops what is old. It works in small pieces, each a transaction of a bounded number of rows, and rests after each
// for longer than it took, so that whoever writes waits behind one piece at most. A crash between two pieces leaves what the
// first has done; the next pass goes on. Several processes may run it on one database: who drops a kind has claimed its row in
// the table retention, and each piece renews the claim in its own transaction or does nothing.
//
// The rule that holds uploads and log together: a block of the log is dropped when it is old and no upload that it has
// entries of is there any more. So an upload that is there has all of its receipts, which are found through the log.

// Keep says how long what has ended is kept. Zero is for ever.
type Keep struct {
	Uploads time.Duration // from its arrival, an upload that is settled, with its receipts; its cycle goes after the last of its uploads
	Log     time.Duration // entries of the provisioning log
	Audit   time.Duration // entries of the audit log
	Notices time.Duration // notices that are not to be sent any more
	Sources time.Duration // from when they were last sent, records of people who have no account
}

const day = 24 * time.Hour

// DefaultKeep is what a service keeps that is not told otherwise. What was sent of people is kept for ever: whether somebody
// is gone who was not sent for a year depends on whether the client sends everybody, which only the client's owner knows.
func DefaultKeep() Keep {
	return Keep{Uploads: 90 * day, Log: 90 * day, Audit: 365 * day, Notices: 90 * day}
}

// The least that can be kept. No upload is dropped within replayWindow, and no record of somebody whose retries or whose
// absence may take weeks.
const (
	leastKept    = replayWindow
	leastSources = 30 * day
)

// Check returns what is wrong with the settings, which it names as the service does.
func (k Keep) Check() error {
	for _, s := range []struct {
		name        string
		keep, least time.Duration
	}{{"uploads", k.Uploads, leastKept}, {"log", k.Log, leastKept}, {"audit", k.Audit, leastKept}, {"notices", k.Notices, leastKept}, {"sources", k.Sources, leastSources}} {
		if s.keep < 0 || s.keep > 0 && s.keep < s.least {
			return fmt.Errorf("keep-%s: it is %s at least, or 0 for ever", s.name, days(s.least))
		}
	}
	if k.Log > 0 && (k.Uploads == 0 || k.Uploads > k.Log) {
		return fmt.Errorf("keep-uploads: it is at most keep-log, %s, because receipts are found through the log; shorten it, or keep the log longer", days(k.Log))
	}
	return nil
}

func days(d time.Duration) string {
	if d == day {
		return "1 day"
	}
	if d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// Kinds of what is dropped, in the order in which a pass takes them up.
const (
	KindTickets = "tickets"
	KindUploads = "uploads"
	KindLog     = "log"
	KindAudit   = "audit"
	KindNotices = "notices"
	KindSources = "sources"
)

// kind is how one kind is dropped.
type kind struct {
	name  string
	keep  func(Keep) time.Duration // 0: for ever
	every time.Duration            // how often a pass looks for it
	drop  func(*pass) error
}

var kinds = []kind{
	{KindTickets, func(Keep) time.Duration { return time.Nanosecond }, time.Hour, (*pass).tickets}, // they have an end of their own
	{KindUploads, func(k Keep) time.Duration { return k.Uploads }, time.Hour, (*pass).uploads},
	{KindLog, func(k Keep) time.Duration { return k.Log }, time.Hour, (*pass).log},
	{KindAudit, func(k Keep) time.Duration { return k.Audit }, time.Hour, (*pass).audit},
	{KindNotices, func(k Keep) time.Duration { return k.Notices }, time.Hour, (*pass).notices},
	{KindSources, func(k Keep) time.Duration { return k.Sources }, day, (*pass).sources}, // it looks at everybody
}

// Retention drops what a store need not keep. It is used by one goroutine, but for States.
type Retention struct {
	s       *Store
	keep    Keep
	holder  string
	size    pieceSize
	logger  *slog.Logger
	dropped func(kind string, n int64)
	rest    func(ctx context.Context, took time.Duration) error
}

// NewRetention returns what drops from s all that keep does not want. dropped is called with what each piece has dropped once
// that is durable; nil: nobody is told. An error says which setting is wrong.
func NewRetention(s *Store, keep Keep, logger *slog.Logger, dropped func(kind string, n int64)) (*Retention, error) {
	if err := keep.Check(); err != nil {
		return nil, err
	}
	if dropped == nil {
		dropped = func(string, int64) {}
	}
	return &Retention{s: s, keep: keep, holder: uuid.NewString(), size: usualSize, logger: logger, dropped: dropped, rest: rest}, nil
}

// rest waits four times as long as a piece took: retention has a fifth of the writer at most.
func rest(ctx context.Context, took time.Duration) error {
	t := time.NewTimer(max(4*took, 20*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// lookEvery is how often Run looks whether a kind's turn has come.
const lookEvery = 10 * time.Minute

// Run drops what is old, now and then, until ctx ends.
func (r *Retention) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := r.Pass(ctx); err != nil && ctx.Err() == nil {
			r.logger.Error("retention; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Pass drops of each kind what is old, if its turn has come and no other process is at it. It ends early with ctx; what it has
// dropped by then stays dropped.
func (r *Retention) Pass(ctx context.Context) error {
	var errs []error
	for i := range kinds {
		if err := r.pass(ctx, &kinds[i]); err != nil && !errors.Is(err, errNotOurs) {
			errs = append(errs, fmt.Errorf("drop old %s: %w", kinds[i].name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// pass is one run over one kind.
type pass struct {
	context.Context
	*Retention
	kind    *kind
	cutoff  int64 // what is older goes, in microseconds
	dropped int64
	said    time.Time // when progress was last logged
}

func (r *Retention) pass(ctx context.Context, k *kind) error {
	keep := k.keep(r.keep)
	if keep == 0 {
		return nil
	}
	began := r.s.now()
	p := &pass{Context: ctx, Retention: r, kind: k, cutoff: began.Add(-keep).UnixMicro(), said: began}
	if due, err := p.due(began); err != nil || !due {
		return err
	}
	if err := p.claim(began); err != nil {
		return err
	}
	err := k.drop(p)
	if p.dropped > 0 {
		r.logger.Info("old entries were dropped", "kind", k.name, "dropped", p.dropped, "duration_ms", r.s.now().Sub(began).Milliseconds(), "complete", err == nil)
	}
	if err != nil {
		return err
	}
	return p.end()
}

// claimFor is how long a claim lasts that is not renewed, because its process is gone.
const claimFor = 5 * time.Minute

// errNotOurs ends a pass: another process is at this kind.
var errNotOurs = errors.New("another process drops it")

// due reports whether the kind's turn has come. It spares the writer.
func (p *pass) due(now time.Time) (due bool, err error) {
	due = true
	err = p.s.read(p, func(c Conn) error {
		return query(c, "SELECT ran, until, holder FROM retention WHERE kind = ?1", []any{p.kind.name}, func(st Row) error {
			ran := micros(st, 0)
			due = (ran.IsZero() || now.Sub(ran) >= p.kind.every || ran.After(now)) && (st.ColumnInt64(1) <= now.UnixMicro() || st.ColumnText(2) == p.holder)
			return nil
		})
	})
	return due, err
}

func (p *pass) claim(now time.Time) error {
	return p.s.Write(p, func(u *Unit) error {
		err := query(u.conn, "INSERT INTO retention (kind) VALUES (?1) ON CONFLICT (kind) DO NOTHING", []any{p.kind.name}, nil)
		if err != nil {
			return err
		}
		return ours(u.conn, "UPDATE retention SET holder = ?2, until = ?3 WHERE kind = ?1 AND (until <= ?4 OR holder = ?2)",
			p.kind.name, p.holder, now.Add(claimFor).UnixMicro(), now.UnixMicro())
	})
}

// end notes that a pass has come to its end, and gives the claim up.
func (p *pass) end() error {
	return p.s.Write(p, func(u *Unit) error {
		return ours(u.conn, "UPDATE retention SET through = ?3, ran = ?4, until = 0 WHERE kind = ?1 AND holder = ?2",
			p.kind.name, p.holder, p.cutoff, p.s.now().UnixMicro())
	})
}

// ours writes the kind's row; errNotOurs if that is another's.
func ours(c Conn, text string, args ...any) error {
	err := query(c, text, args, nil)
	if err == nil && c.changes() == 0 {
		err = errNotOurs
	}
	return err
}

// piece runs drop in one transaction, counts what it has dropped, renews the claim, and rests. job is 0 for what is not of
// one job's people.
func (p *pass) piece(job int64, drop func(u *Unit) (int64, error)) error {
	began, n := time.Now(), int64(0)
	work := func(u *Unit) (err error) {
		if n, err = drop(u); err != nil {
			return err
		}
		return ours(u.conn, "UPDATE retention SET dropped = dropped + ?3, until = ?4 WHERE kind = ?1 AND holder = ?2",
			p.kind.name, p.holder, n, p.s.now().Add(claimFor).UnixMicro())
	}
	var err error
	if job == 0 {
		err = p.s.Write(p, work)
	} else {
		err = p.s.Unit(p, provision.Fence{JobPK: job, Free: true}, func(u provision.Unit) error { return work(u.(*Unit)) })
	}
	if err != nil {
		return err
	}
	p.dropped += n
	p.Retention.dropped(p.kind.name, n)
	if now := p.s.now(); now.Sub(p.said) >= 10*time.Second {
		p.said = now
		p.logger.Info("old entries are being dropped", "kind", p.kind.name, "dropped", p.dropped)
	}
	return p.rest(p, time.Since(began))
}

// pieceSize bounds a piece.
type pieceSize struct {
	rows    int
	blocks  int
	entries int64 // of blocks
	people  int
	looked  int // people that are looked at in one read
}

// usualSize makes pieces that take some milliseconds.
var usualSize = pieceSize{rows: 250, blocks: 256, entries: 16 << 10, people: 200, looked: 2000}

// while runs pieces that drop up to limit rows each, as long as a condition selects some; whether it does is read first.
func (p *pass) while(from string, args []any, limit int, drop string) error {
	for {
		due := false
		err := p.s.read(p, func(c Conn) error {
			return query(c, "SELECT 1 FROM "+from+" LIMIT 1", args, func(Row) error { due = true; return nil })
		})
		if err != nil || !due {
			return err
		}
		err = p.piece(0, func(u *Unit) (int64, error) {
			err := query(u.conn, drop, append(slices.Clone(args), limit), nil)
			return int64(u.conn.changes()), err
		})
		if err != nil {
			return err
		}
	}
}

// tickets drops those that have expired, which nobody can bring back any more.
func (p *pass) tickets() error {
	const from = "ticket WHERE expires < ?1"
	return p.while(from, []any{p.cutoff}, p.size.rows, "DELETE FROM ticket WHERE hash IN (SELECT hash FROM "+from+" ORDER BY expires LIMIT ?2)")
}

// audit drops old entries. The newest one stays, so that places and times never go back.
func (p *pass) audit() error {
	const from = "audit WHERE at < ?1 AND pk < (SELECT max(pk) FROM audit)"
	return p.while(from, []any{p.cutoff}, p.size.rows, "DELETE FROM audit WHERE pk IN (SELECT pk FROM "+from+" ORDER BY at, pk LIMIT ?2)")
}

// notices drops old ones that are not to be sent any more. The newest one stays, so that an id never means another notice.
func (p *pass) notices() error {
	for after, more := int64(0), true; more; {
		var old []int64
		more = false
		err := p.s.read(p, func(c Conn) error {
			return query(c, "SELECT pk, next, content FROM notice WHERE pk > ?1 AND pk < (SELECT max(pk) FROM notice) ORDER BY pk LIMIT ?2", []any{after, p.size.rows}, func(st Row) error {
				var n provision.Notice
				if err := json.Unmarshal([]byte(st.ColumnText(2)), &n); err != nil {
					return err
				}
				if n.Time.UnixMicro() >= p.cutoff {
					more = false
					return errEnough
				}
				if after, more = st.ColumnInt64(0), true; st.ColumnIsNull(1) {
					old = append(old, after)
				}
				return nil
			})
		})
		if err != nil && err != errEnough {
			return err
		}
		if len(old) == 0 {
			continue
		}
		err = p.piece(0, func(u *Unit) (n int64, err error) {
			for _, pk := range old {
				if err := query(u.conn, "DELETE FROM notice WHERE pk = ?1 AND next IS NULL", []any{pk}, nil); err != nil {
					return 0, err
				}
				n += int64(u.conn.changes())
			}
			return n, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// jobs returns the places of all jobs, those that are deleted too.
func (p *pass) jobs() (jobs []int64, err error) {
	err = p.s.read(p, func(c Conn) error {
		return query(c, "SELECT pk FROM job ORDER BY pk", nil, func(st Row) error {
			jobs = append(jobs, st.ColumnInt64(0))
			return nil
		})
	})
	return jobs, err
}

// uploads drops uploads that are settled and old, then the purges and cycles that had no others.
func (p *pass) uploads() error {
	jobs, err := p.jobs()
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if err := p.uploadsOf(job); err != nil {
			return err
		}
		if err := p.cyclesOf(job); err != nil {
			return err
		}
	}
	return p.purges()
}

// uploadsOf goes over the uploads by number, which is the order of their arrival, up to the first that is not old.
func (p *pass) uploadsOf(job int64) error {
	for after, more := int64(0), true; more; {
		from, settled := after, 0
		marks := map[int64]int64{}
		more = false
		err := p.s.read(p, func(c Conn) error {
			return query(c, "SELECT number, received, settled FROM upload WHERE job = ?1 AND number > ?2 ORDER BY number LIMIT ?3", []any{job, from, p.size.rows}, func(st Row) error {
				received := st.ColumnInt64(1)
				if received >= p.cutoff {
					more = false
					return errEnough
				}
				after, more = st.ColumnInt64(0), true
				marks[received/day.Microseconds()] = after
				if !st.ColumnIsNull(2) {
					settled++
				}
				return nil
			})
		})
		if err != nil && err != errEnough {
			return err
		}
		if settled == 0 {
			continue
		}
		err = p.piece(0, func(u *Unit) (int64, error) { return p.dropUploads(u, job, from, after, marks) })
		if err != nil {
			return err
		}
	}
	return nil
}

// dropUploads drops the old uploads between two numbers that are settled, and the operations of those of them that were
// purged. It leaves marks, by which it is known later when somebody was last sent.
func (p *pass) dropUploads(u *Unit, job, after, to int64, marks map[int64]int64) (int64, error) {
	for d, number := range marks {
		err := query(u.conn, `INSERT INTO upload_mark (job, day, number) VALUES (?1, ?2, ?3)
			ON CONFLICT (job, day) DO UPDATE SET number = CASE WHEN excluded.number > upload_mark.number THEN excluded.number ELSE upload_mark.number END`, []any{job, d, number}, nil)
		if err != nil {
			return 0, err
		}
	}
	err := query(u.conn, "DELETE FROM upload WHERE job = ?1 AND number > ?2 AND number <= ?3 AND settled IS NOT NULL AND received < ?4", []any{job, after, to, p.cutoff}, nil)
	if err != nil {
		return 0, err
	}
	n := int64(u.conn.changes())
	return n, query(u.conn, `DELETE FROM upload_body WHERE job = ?1 AND number > ?2 AND number <= ?3
		AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.job = upload_body.job AND u.number = upload_body.number)`, []any{job, after, to}, nil)
}

// cyclesOf drops cycles that closed long ago, with their counts, when the last of their uploads is gone: until then a pending
// record may still move their counts. The first cycle and the latest ones stay, because the job speaks of them.
func (p *pass) cyclesOf(job int64) error {
	for after, last, more := int64(0), int64(0), true; more; {
		var old []int64
		more = false
		err := p.s.read(p, func(c Conn) error {
			latest := int64(0)
			err := query(c, "SELECT cycle FROM progress WHERE job = ?1", []any{job}, func(st Row) error { latest = st.ColumnInt64(0); return nil })
			if err != nil {
				return err
			}
			return query(c, "SELECT number, last, ended FROM cycle WHERE job = ?1 AND number > ?2 AND number < ?3 ORDER BY number LIMIT ?4", []any{job, after, latest - 1, p.size.rows}, func(st Row) error {
				if st.ColumnIsNull(2) || st.ColumnInt64(2) >= p.cutoff {
					more = false
					return errEnough
				}
				from := last
				after, last, more = st.ColumnInt64(0), st.ColumnInt64(1), true
				gone := after > 1
				err := query(c, "SELECT 1 FROM upload WHERE job = ?1 AND number > ?2 AND number <= ?3 LIMIT 1", []any{job, from, last}, func(Row) error { gone = false; return nil })
				if gone {
					old = append(old, after)
				}
				return err
			})
		})
		if err != nil && err != errEnough {
			return err
		}
		if len(old) == 0 {
			continue
		}
		err = p.piece(0, func(u *Unit) (int64, error) {
			for _, number := range old {
				for _, text := range []string{"DELETE FROM tally WHERE job = ?1 AND cycle = ?2", "DELETE FROM cycle WHERE job = ?1 AND number = ?2"} {
					if err := query(u.conn, text, []any{job, number}, nil); err != nil {
						return 0, err
					}
				}
			}
			return 0, nil // what is counted are uploads
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// purges drops what is known of old restarts that none of the uploads is left of which they have thrown out. Restarts are few.
func (p *pass) purges() error {
	var old []int64
	err := p.s.read(p, func(c Conn) error {
		return query(c, "SELECT pk, job, content FROM purge ORDER BY pk", nil, func(st Row) error {
			var of provision.Purge
			if err := json.Unmarshal([]byte(st.ColumnText(2)), &of); err != nil || of.Time.UnixMicro() >= p.cutoff {
				return err
			}
			pk, gone := st.ColumnInt64(0), true
			err := query(c, "SELECT 1 FROM upload WHERE job = ?1 AND number >= ?2 AND number <= ?3 AND purge = ?4 LIMIT 1", []any{st.ColumnInt64(1), of.First, of.Last, pk},
				func(Row) error { gone = false; return nil })
			if gone {
				old = append(old, pk)
			}
			return err
		})
	})
	for part := range slices.Chunk(old, p.size.rows) {
		if err != nil {
			break
		}
		err = p.piece(0, func(u *Unit) (int64, error) {
			for _, pk := range part {
				if err := query(u.conn, "DELETE FROM purge WHERE pk = ?1", []any{pk}, nil); err != nil {
					return 0, err
				}
			}
			return 0, nil
		})
	}
	return err
}

// untouched is the condition that no upload is there of which the block has entries. Re-evaluations have numbers below zero.
const untouched = "NOT EXISTS (SELECT 1 FROM upload u WHERE u.job = log_block.job AND u.number >= log_block.lowest AND u.number <= log_block.highest)"

// span is a part of the log: blocks that follow one another.
type span struct{ first, last, entries int64 }

// log drops old blocks, then the runs of the index that have none left. The newest block is emptied instead: it tells the
// place and the time of the newest entry, from which the log goes on.
func (p *pass) log() error {
	bound, err := p.firstKept()
	if err != nil {
		return err
	}
	for after, more := int64(0), true; more; {
		var spans []span
		if spans, after, more, err = p.oldBlocks(after, bound); err != nil {
			return err
		}
		if len(spans) == 0 {
			continue
		}
		err = p.piece(0, func(u *Unit) (n int64, err error) {
			for _, s := range spans {
				n += s.entries
				for _, text := range []string{"DELETE FROM log_entries WHERE first >= ?1 AND first <= ?2", "DELETE FROM log_block WHERE first >= ?1 AND first <= ?2"} {
					if err := query(u.conn, text, []any{s.first, s.last}, nil); err != nil {
						return 0, err
					}
				}
			}
			return n, nil
		})
		if err != nil {
			return err
		}
	}
	if err := p.runs(); err != nil {
		return err
	}
	return p.emptyNewest(bound)
}

// firstKept returns where the first block begins that is not old.
func (p *pass) firstKept() (first int64, err error) {
	first = math.MaxInt64
	err = p.s.read(p, func(c Conn) error {
		return query(c, "SELECT first FROM log_block WHERE began >= ?1 ORDER BY began, first LIMIT 1", []any{p.cutoff}, func(st Row) error {
			first = st.ColumnInt64(0)
			return nil
		})
	})
	return first, err
}

// oldBlocks returns the next blocks to be dropped after one and before bound: enough for a piece, but not the newest. A span
// has no block in it that stays.
func (p *pass) oldBlocks(after, bound int64) (spans []span, looked int64, more bool, err error) {
	blocks, entries, open := 0, int64(0), false
	err = p.s.read(p, func(c Conn) error {
		return query(c, "SELECT first, last, success + failure + skipped + warning, "+untouched+" FROM log_block WHERE first > ?1 AND first < ?2 AND first < (SELECT max(first) FROM log_block) ORDER BY first LIMIT ?3",
			[]any{after, bound, p.size.blocks}, func(st Row) error {
				first, n := st.ColumnInt64(0), st.ColumnInt64(2)
				after = first
				blocks++
				if !st.ColumnBool(3) {
					open = false
					return nil
				}
				if !open {
					spans, open = append(spans, span{first: first}), true
				}
				s := &spans[len(spans)-1]
				s.last, s.entries = first, s.entries+n
				if entries += n; entries >= p.size.entries {
					blocks = p.size.blocks
					return errEnough
				}
				return nil
			})
	})
	if err == errEnough {
		err = nil
	}
	return spans, after, blocks == p.size.blocks, err
}

// runsAtOnce is how many runs a piece drops, of 256 large rows each.
const runsAtOnce = 4

// runs drops the runs of the index by anchor that have no block left. One that has some still answers for them: what it says of
// blocks that are gone leads nowhere.
func (p *pass) runs() error {
	for {
		var old []int64
		err := p.s.read(p, func(c Conn) error {
			return query(c, `SELECT run FROM log_run WHERE NOT EXISTS (SELECT 1 FROM log_block b WHERE b.first >= log_run.first AND b.first <= log_run.last)
				ORDER BY run LIMIT ?1`, []any{runsAtOnce}, func(st Row) error {
				old = append(old, st.ColumnInt64(0))
				return nil
			})
		})
		if err != nil || len(old) == 0 {
			return err
		}
		err = p.piece(0, func(u *Unit) (int64, error) {
			for _, run := range old {
				err := query(u.conn, "DELETE FROM log_run_hash WHERE place >= ?1 AND place < ?2", []any{run << 8, (run + 1) << 8}, nil)
				if err == nil {
					err = query(u.conn, "DELETE FROM log_run WHERE run = ?1", []any{run}, nil)
				}
				if err != nil {
					return 0, err
				}
			}
			return 0, nil
		})
		if err != nil {
			return err
		}
	}
}

// emptyNewest takes the entries out of the newest block, if it is old too, and leaves where it stood.
func (p *pass) emptyNewest(bound int64) error {
	const newest = "SELECT first, last, success + failure + skipped + warning FROM log_block WHERE first = (SELECT max(first) FROM log_block) AND first < ?1 AND " +
		"success + failure + skipped + warning > 0 AND " + untouched
	first := int64(0)
	look := func(c Conn) (n int64, err error) {
		err = query(c, newest, []any{bound}, func(st Row) error {
			first, n = st.ColumnInt64(0), st.ColumnInt64(2)
			return nil
		})
		return n, err
	}
	err := p.s.read(p, func(c Conn) (err error) {
		_, err = look(c)
		return err
	})
	if err != nil || first == 0 {
		return err
	}
	return p.piece(0, func(u *Unit) (int64, error) {
		n, err := look(u.conn) // it may have become one of many
		if err != nil || n == 0 {
			return 0, err
		}
		// The index keeps a list of its anchors, an empty one, as of a block that no run has: then it is merged like others.
		err = query(u.conn, "UPDATE log_block SET success = 0, failure = 0, skipped = 0, warning = 0, anchors = CASE WHEN anchors IS NOT NULL THEN ?2 ELSE anchors END WHERE first = ?1",
			[]any{first, []byte{}}, nil)
		if err != nil {
			return 0, err
		}
		return n, query(u.conn, "UPDATE log_entries SET packed = ?2 WHERE first = ?1", []any{first, p.s.zip.encodeNothing()}, nil)
	})
}

// encodeNothing packs a block that has no entry.
func (c *compressor) encodeNothing() []byte {
	var head pack.Enc
	head.Uint(0) // entries
	for range 4 {
		head.Int(0) // time, job, cycle, upload
	}
	head.Text("") // schema
	head.Uint(0)  // names
	return c.w.EncodeAll(head, []byte{entriesV1})
}

// RetentionState says how retention stands with one kind.
type RetentionState struct {
	Kind    string
	Keep    time.Duration // 0: for ever. Tickets have an end of their own
	Dropped int64         // to date; of the log entries, of all else rows
	Through time.Time     // what was older than this has been dropped, unless something needs it; zero before the first pass
	Ran     time.Time     // when the latest pass ended; zero before the first
}

// States returns how retention stands with each kind. It may be called at any time.
func (r *Retention) States(ctx context.Context) ([]RetentionState, error) {
	states := make([]RetentionState, len(kinds))
	err := r.s.read(ctx, func(c Conn) error {
		for i, k := range kinds {
			states[i] = RetentionState{Kind: k.name, Keep: k.keep(r.keep)}
			if k.name == KindTickets {
				states[i].Keep = 0
			}
			err := query(c, "SELECT dropped, through, ran FROM retention WHERE kind = ?1", []any{k.name}, func(st Row) error {
				states[i].Dropped, states[i].Through, states[i].Ran = st.ColumnInt64(0), micros(st, 1), micros(st, 2)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return states, err
}
