package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// benchJob returns an open store with a job.
func benchJob(b *testing.B) (*Store, *provision.Job) {
	s, err := Open(b.Context(), b.TempDir(), Options{ReserveBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	schema, _ := mapping.Template("API2AAD")
	j := &provision.Job{ID: "API2AAD.t.x", State: provision.JobActive, Schema: schema, Created: time.Unix(0, 0)}
	if err := s.PutJob(b.Context(), j); err != nil {
		b.Fatal(err)
	}
	return s, j
}

func benchUnit(b *testing.B, s *Store, j *provision.Job, fn func(u provision.Unit) error) {
	lane, err := s.Lane(b.Context(), j.PK)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Unit(b.Context(), provision.Fence{JobPK: j.PK, Position: lane.Position}, fn); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPending holds and releases 10,000 records, 500 in a transaction, as the engine does.
func BenchmarkPending(b *testing.B) {
	const records, chunk = 10_000, 500
	kept := []byte(`{"externalId":"p","userName":"p@acme.example","active":false,"displayName":"Pat Doe","name":{"familyName":"Doe","givenName":"Pat"}}`)
	var put, read, end time.Duration
	for b.Loop() {
		b.StopTimer()
		s, j := benchJob(b)
		var people []provision.Person
		for i := range records {
			people = append(people, provision.Person{Anchor: fmt.Sprint("p", i), ObjectID: uuid.NewString(), Kept: kept, Enabled: true, Upload: 1, Index: i})
		}
		up := provision.Upload{Job: j, Received: time.Now(), Operations: make([]provision.Operation, records)}
		if _, err := s.Accept(b.Context(), up, uuid.New(), 1<<40); err != nil {
			b.Fatal(err)
		}
		benchUnit(b, s, j, func(u provision.Unit) error {
			return errors.Join(u.PutPeople(people), u.Advance([]provision.UploadResult{{Number: 1, Counts: map[provision.End]int{provision.EndHeld: records}}}, 1, time.Now()))
		})
		pending := func(i int) provision.Pending {
			return provision.Pending{Kind: provision.PendingHeld, Anchor: people[i].Anchor, Name: "Pat Doe", Upload: 1, Index: i, BulkID: "b", Cycle: 1, Action: provision.ActionDisable,
				ObjectID: people[i].ObjectID, ObjectName: "p@acme.example", Since: time.Now(), Due: time.Now(), Code: "TooManyDeletes", Reason: "Held: disables and deletions are counted before they are carried out."}
		}
		b.StartTimer()
		at := time.Now()
		for from := 0; from < records; from += chunk {
			benchUnit(b, s, j, func(u provision.Unit) (err error) {
				for i := from; i < from+chunk && err == nil; i++ {
					err = u.PutPending(pending(i))
				}
				return err
			})
		}
		put += time.Since(at)
		benchUnit(b, s, j, func(u provision.Unit) error {
			_, err := u.Judge(provision.PendingHeld, provision.VerdictApproved, "", nil)
			return err
		})
		for range records / chunk {
			at = time.Now()
			some, err := s.PendingPeople(context.Background(), j.PK, provision.SetApproved, time.Now(), chunk)
			if err != nil || len(some) != chunk {
				b.Fatal(len(some), err)
			}
			read += time.Since(at)
			at = time.Now()
			benchUnit(b, s, j, func(u provision.Unit) (err error) {
				for i := range some {
					if err == nil {
						err = u.EndPending(some[i].Pending, provision.EndDisabled)
					}
				}
				return err
			})
			end += time.Since(at)
		}
	}
	for name, d := range map[string]time.Duration{"put": put, "read": read, "end": end} {
		b.ReportMetric(float64(d.Nanoseconds())/float64(b.N)/records, name+"-ns/record")
	}
}

// BenchmarkPurge throws 100,000 uploads of 5 KB each out of the queue: nobody else writes meanwhile.
func BenchmarkPurge(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, j := benchJob(b)
		benchUnit(b, s, j, func(u provision.Unit) error {
			c := u.(*Unit).Conn()
			return errors.Join(query(c, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
				INSERT INTO upload (job, number, id, body_hash, received, operations) SELECT 1, i, randomblob(16), randomblob(32), 0, 50 FROM n`, nil, nil),
				query(c, "INSERT INTO upload_body (job, number, body) SELECT job, number, randomblob(5000) FROM upload", nil, nil),
				query(c, "UPDATE job SET next = 100001, accepted = 5000000 WHERE pk = 1", nil, nil))
		})
		b.StartTimer()
		benchUnit(b, s, j, func(u provision.Unit) error {
			p, err := u.Purge(0, provision.Purge{Time: time.Now()})
			if p.Uploads != 100_000 {
				err = errors.Join(err, fmt.Errorf("purged are %+v", p))
			}
			return err
		})
	}
}
