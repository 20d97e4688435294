package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"induct/internal/graph"
	"induct/internal/sqlstore"
)

// keepSettings say how long what has ended is kept. 0 is for ever.
type keepSettings struct {
	sqlstore.Keep
	deleted time.Duration // deleted users
}

// leastDeleted is the least time in which a deleted user can be restored, unless it is for ever.
const leastDeleted = 24 * time.Hour

func keepFlags(f *pflag.FlagSet, k *keepSettings) {
	k.Keep, k.deleted = sqlstore.DefaultKeep(), 30*24*time.Hour
	f.Var((*ageFlag)(&k.Uploads), "keep-uploads", "`AGE` after which a settled upload and its receipts are dropped, such as 90d or 36h; no longer than --keep-log; 0: never")
	f.Var((*ageFlag)(&k.Log), "keep-log", "`AGE` after which entries of the provisioning log are dropped; 0: never")
	f.Var((*ageFlag)(&k.Audit), "keep-audit", "`AGE` after which entries of the audit log are dropped; 0: never")
	f.Var((*ageFlag)(&k.Notices), "keep-notices", "`AGE` after which notices about jobs are dropped; 0: never")
	f.Var((*ageFlag)(&k.Sources), "keep-sources", "`AGE` after which is dropped what was sent of people who have no account and are not sent any more, 30d or more; 0: never")
	f.Var((*ageFlag)(&k.deleted), "keep-deleted", "`AGE` for which deleted users can be restored; 0: for ever")
}

func (k *keepSettings) check() error {
	if k.deleted < 0 || k.deleted > 0 && k.deleted < leastDeleted {
		return errors.New("keep-deleted: it is 1 day at least, or 0 for ever")
	}
	return k.Check()
}

// ageFlag is a duration that may be given in days.
type ageFlag time.Duration

func (a *ageFlag) Type() string { return "age" }

func (a *ageFlag) String() string {
	d := time.Duration(*a)
	if d%(24*time.Hour) == 0 && d != 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	if d == 0 {
		return "0"
	}
	return d.String()
}

// maxDays keeps an age within a time.Duration.
const maxDays = 100 * 366

func (a *ageFlag) Set(text string) error {
	if number, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.Atoi(number)
		if err != nil || days < 0 || days > maxDays {
			return fmt.Errorf("%q is no number of days from 0 to %d", text, maxDays)
		}
		*a = ageFlag(time.Duration(days) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no age: write 90d, 36h or 0", text)
	}
	*a = ageFlag(d)
	return nil
}

// kept tells how long what is kept, for those who ask.
func (s *server) kept(ctx context.Context) ([]graph.Kept, error) {
	states, err := s.retention.States(ctx)
	if err != nil {
		return nil, err
	}
	kept := make([]graph.Kept, len(states), len(states)+1)
	for i, state := range states {
		kept[i] = graph.Kept(state)
	}
	return append(kept, graph.Kept{Kind: "deletedItems", Keep: s.keep.deleted}), nil
}
