package sqlstore

import (
	"encoding/json"
	"fmt"

	"induct/internal/provision"
)

// What was sent of somebody is dropped when nothing can need it: the person was not sent for long, has no account – none was
// ever linked, the link was dropped, or the account was deleted for good – and nothing of the person is pending. The whole
// person goes: a kept record without its anchor is of no use, and the anchor is a datum of the person too. Whoever is sent
// again afterwards is new: matched or created, from that record alone. A re-evaluation does not know who has been dropped.

// gone is the condition that a person has no account. The built-in directory is the only one that there is.
const gone = "(person.object IS NULL OR NOT EXISTS (SELECT 1 FROM users u WHERE u.id = person.object))"

// sources drops the people who are gone, job by job.
func (p *pass) sources() error {
	jobs, err := p.jobs()
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if err := p.sourcesOf(job); err != nil {
			return err
		}
	}
	return nil
}

// candidate is somebody who may be dropped.
type candidate struct {
	pk, upload int64
	anchor     string
}

func (p *pass) sourcesOf(job int64) error {
	var attributes []string
	to, settled := int64(0), false
	err := p.s.read(p, func(c Conn) (err error) {
		if settled, err = steady(c, job); err != nil || !settled {
			return err
		}
		if to, err = lastBefore(c, job, p.cutoff); err != nil || to == 0 {
			return err
		}
		return query(c, "SELECT DISTINCT attribute FROM reference WHERE job = ?1", []any{job}, func(st Row) error {
			attributes = append(attributes, st.ColumnText(0))
			return nil
		})
	})
	if err != nil || !settled || to == 0 {
		return err
	}
	for after, more := int64(0), true; more; {
		var old []candidate
		seen := 0
		err := p.s.read(p, func(c Conn) error {
			return query(c, "SELECT pk, upload, anchor, upload > 0 AND upload <= ?3 AND pending = 0 AND "+gone+" FROM person INDEXED BY person_job WHERE job = ?1 AND pk > ?2 ORDER BY pk LIMIT ?4",
				[]any{job, after, to, p.size.looked}, func(st Row) error {
					seen, after = seen+1, st.ColumnInt64(0)
					if st.ColumnBool(3) {
						old = append(old, candidate{after, st.ColumnInt64(1), st.ColumnText(2)})
					}
					if len(old) == p.size.people {
						seen = p.size.looked
						return errEnough
					}
					return nil
				})
		})
		if err != nil && err != errEnough {
			return err
		}
		if more = seen == p.size.looked; len(old) == 0 {
			continue
		}
		err = p.piece(job, func(u *Unit) (n int64, err error) {
			if ok, err := steady(u.conn, job); err != nil || !ok {
				return 0, err
			}
			for _, o := range old {
				dropped, err := u.dropPerson(o, attributes)
				if err != nil {
					return 0, fmt.Errorf("person in row %d: %w", o.pk, err)
				}
				if dropped {
					n++
				}
			}
			return n, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// steady reports whether nothing is under way in a job that is about people without an account: a reset of links, or a
// re-evaluation, which may give them one.
func steady(c Conn, job int64) (bool, error) {
	var cond provision.Condition
	err := query(c, "SELECT condition FROM progress WHERE job = ?1", []any{job}, func(st Row) error {
		return json.Unmarshal([]byte(st.ColumnText(0)), &cond)
	})
	if err != nil || cond.Unlink != nil {
		return false, err
	}
	re, err := reevaluation(c, job)
	return re == nil || !re.Ended.IsZero(), err
}

// dropPerson drops somebody who is still as it was seen, and reports whether that was so.
func (u *Unit) dropPerson(o candidate, attributes []string) (dropped bool, err error) {
	was := place{pk: o.pk}
	err = query(u.conn, "DELETE FROM person WHERE pk = ?1 AND job = ?2 AND anchor = ?3 AND upload = ?4 AND pending = 0 AND "+gone+" RETURNING object, enabled",
		[]any{o.pk, u.job, o.anchor, o.upload}, func(st Row) error {
			dropped, was.object, was.enabled = true, idText(st, 0), st.ColumnBool(1)
			return nil
		})
	if err != nil || !dropped {
		return false, err
	}
	u.forget(o.anchor)
	u.Unfile(HashKey(anchorSpace, u.job, o.anchor), o.pk)
	for _, a := range attributes {
		if err := u.dropReference(provision.PendingReference{Anchor: o.anchor, Attribute: a}); err != nil {
			return true, err
		}
	}
	return true, u.relinked(o.anchor, was, place{})
}

// lastBefore returns the number of the last upload of a job that was received before a time, as far as is known: 0 if none
// was. Uploads that retention has dropped are known by day.
func lastBefore(c Conn, job, at int64) (number int64, err error) {
	err = query(c, "SELECT coalesce(max(number), 0) FROM upload_mark WHERE job = ?1 AND day < ?2", []any{job, at / day.Microseconds()}, func(st Row) error {
		number = st.ColumnInt64(0)
		return nil
	})
	if err != nil {
		return 0, err
	}
	// Numbers are given in the order of arrival: the place is found by halves.
	low, high := int64(0), int64(0)
	if err := query(c, "SELECT next FROM job WHERE pk = ?1", []any{job}, func(st Row) error { high = st.ColumnInt64(0); return nil }); err != nil {
		return 0, err
	}
	for low+1 < high { // what is up to low is old, what is from high on is not
		middle, found, old := low+(high-low)/2, int64(0), false
		err := query(c, "SELECT number, received FROM upload WHERE job = ?1 AND number >= ?2 AND number < ?3 ORDER BY number LIMIT 1", []any{job, middle, high}, func(st Row) error {
			found, old = st.ColumnInt64(0), st.ColumnInt64(1) < at
			return nil
		})
		switch {
		case err != nil:
			return 0, err
		case old:
			low, number = found, max(number, found)
		default:
			high = middle
		}
	}
	return number, nil
}
