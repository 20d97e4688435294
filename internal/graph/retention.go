package graph

import (
	"fmt"
	"time"
)

// Kept says how long one kind of what ends is kept, and what was dropped of it.
type Kept struct {
	Kind    string
	Keep    time.Duration // 0: for ever, or until it expires by itself
	Dropped int64         // to date
	Through time.Time     // what was older than this has been dropped, unless something needs it; zero before the first time
	Ran     time.Time     // when that was looked for; zero before the first time
}

// listRetention tells how long what is kept.
func (c *call) listRetention() error {
	var kept []Kept
	if c.s.Retention != nil {
		var err error
		if kept, err = c.s.Retention(c.r.Context()); err != nil {
			return err
		}
	}
	value := make([]object, len(kept))
	for i, k := range kept {
		value[i] = object{{"kind", k.Kind}, {"keep", keepOrNull(k.Keep)}, {"dropped", k.Dropped}, {"throughDateTime", timeOrNull(k.Through)}, {"ranDateTime", timeOrNull(k.Ran)}}
	}
	return c.collection("induct/retention", value, "", nil)
}

// keepOrNull writes how long something is kept as ISO 8601 does; null is for ever.
func keepOrNull(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return isoDuration(d)
}

// noUpload is the answer for an upload that is not there, or is not there any more: its id does not tell.
func (c *call) noUpload(id string) *problem {
	p := notFound("upload", id)
	if keep := c.s.KeepUploads; keep > 0 {
		p.message += " Uploads are kept for " + isoDuration(keep) + " from their arrival, if all of their records have ended by then."
	}
	return p
}

// isoDuration writes a duration of whole seconds.
func isoDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0:
		return fmt.Sprintf("P%dD", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("PT%dH", d/time.Hour)
	}
	return fmt.Sprintf("PT%dS", d/time.Second)
}
