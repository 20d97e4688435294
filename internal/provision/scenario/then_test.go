package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"induct/internal/provision"
)

// What must be so then.
var thens = []sentence{
	{form: `record(s) {anchors}( of {job}) is/are {words}( because {word})( of {attribute})(, saying {text})`, run: recordIs},
	{form: `{n} record(s)( of {job}) is/are {word}`, run: recordsAre},
	{form: `the upload has {rest}`, run: uploadHas},
	{form: `the upload is accepted/done/settled`, run: uploadIs},
	{form: `{job} counts {rest}`, run: jobCounts},
	{form: `the log has for {anchor}( of {job}): {rest}`, run: logHas},
	{form: `the log has nothing for {anchors}`, run: logHasNothing},
	{form: `the log shows for {anchor}: {attribute} from {rest}`, run: logShows},
	{form: `the log warns for {anchor}: {rest}`, run: logWarns},
	{form: `the directory has {user}( with {values})`, run: directoryHas},
	{form: `the directory has no {user}`, run: directoryHasNo},
	{form: `the directory has {n} users`, run: directoryCounts},
	{form: `nobody has read {attribute}, which {n} record(s) had`, run: unread},
	{form: `{job} is Active/Paused/Disabled(, {rest})`, run: jobIs},
	{form: `{job} can send no more`, run: full},
	{form: `{job} is in quarantine because {word}( of {word2})(, next attempt in {time})`, run: inQuarantine},
	{form: `{job} is not in quarantine`, run: inQuarantine},
	{form: `the last cycle of {job} was {word}`, run: lastCycle},
	{form: `the people in charge are told: {words}`, run: told},
	{form: `the people in charge are told nothing`, run: told},
	{form: `the audit log has {text}( by {rest})`, run: audited},
	{form: `nothing else happened`, run: nothingElse},
	{form: `nothing happened`, run: nothingElse},
}

// last returns the ends of a person's records in the uploads of the period, or of the latest record if there is none.
func (w *world) last(j *job, anchor string) (receipts []provision.Receipt, err error) {
	take := func(u *upload) (found []provision.Receipt) {
		if !slices.ContainsFunc(u.operations, func(op provision.Operation) bool { return op.Anchor == anchor }) || err != nil {
			return nil
		}
		var all []provision.Receipt
		all, err = w.Receipts(w.t.Context(), j.pk, u.Number, 0, len(u.operations))
		return slices.DeleteFunc(all, func(r provision.Receipt) bool { return r.Anchor != anchor })
	}
	for _, u := range w.period.uploads {
		if u.job == j {
			receipts = append(receipts, take(u)...)
		}
	}
	for i := len(j.uploads) - 1; i >= 0 && len(receipts) == 0; i-- {
		if all := take(j.uploads[i]); len(all) > 0 {
			receipts = all[len(all)-1:]
		}
	}
	if len(receipts) == 0 && err == nil {
		err = fmt.Errorf("%s has not been sent to %s", anchor, j.name)
	}
	return receipts, err
}

func recordIs(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	anchors, err := a.anchors("anchors")
	if err != nil {
		return err
	}
	want := strings.Split(a.values["words"], ", then ")
	for _, anchor := range anchors {
		receipts, err := w.last(j, anchor)
		if err != nil {
			return err
		}
		var ends []string
		for _, r := range receipts {
			ends = append(ends, string(r.End))
		}
		e := receipts[len(receipts)-1].Entry
		switch {
		case !slices.Equal(ends, want):
			why := ""
			if e != nil {
				why = " (" + describe(e) + ")"
			}
			return fmt.Errorf("record %s is %s%s", anchor, strings.Join(ends, ", then "), why)
		case a.has("word") && (e == nil || e.Code != a.values["word"]):
			return fmt.Errorf("the code of record %s is another one: %s", anchor, describe(e))
		case a.has("attribute") && e.Attribute != a.values["attribute"]:
			return fmt.Errorf("record %s is about another attribute: %s", anchor, describe(e))
		case a.has("text") && !strings.Contains(e.Reason, a.text("text")):
			return fmt.Errorf("record %s says something else: %s", anchor, describe(e))
		}
		news, err := w.news(j, &anchor)
		if err != nil {
			return err
		}
		w.name(slices.DeleteFunc(news, func(e provision.LogEntry) bool { return e.Ref }))
	}
	return nil
}

// recordsAre counts in the uploads of the period, or in all if there is none.
func recordsAre(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	uploads := slices.DeleteFunc(slices.Clone(w.period.uploads), func(u *upload) bool { return u.job != j })
	if len(uploads) == 0 {
		uploads = j.uploads
	}
	counts, err := w.counts(uploads)
	if err != nil {
		return err
	}
	end := provision.End(a.values["word"])
	if counts[end] != a.count("n") {
		return fmt.Errorf("%d records are %s: %v", counts[end], end, counts)
	}
	news, err := w.news(j, nil)
	w.name(slices.DeleteFunc(news, func(e provision.LogEntry) bool { return e.End != end }))
	return err
}

func (w *world) counts(uploads []*upload) (map[provision.End]int, error) {
	counts := map[provision.End]int{}
	for _, u := range uploads {
		st, err := w.Upload(w.t.Context(), u.job.pk, u.ID)
		if err != nil {
			return nil, err
		}
		for e, n := range st.Counts {
			counts[e] += n
		}
	}
	return counts, nil
}

// compare holds counts against 3 created, 2 failed; what is not named is to be 0.
func compare(a args, counts map[provision.End]int) error {
	parts, err := a.list("rest")
	if err != nil {
		return err
	}
	want := map[provision.End]int{}
	for _, p := range parts {
		n, end, _ := strings.Cut(p, " ")
		if want[provision.End(end)] = number(n); number(n) == 0 && n != "0" && n != "no" {
			return fmt.Errorf("%q is no count: write 3 created", p)
		}
	}
	for end, n := range counts {
		if want[end] != n {
			return fmt.Errorf("%d are %s, not %d: %v", n, end, want[end], counts)
		}
		delete(want, end)
	}
	for end, n := range want {
		if n != 0 {
			return fmt.Errorf("none is %s, not %d: %v", end, n, counts)
		}
	}
	return nil
}

func uploadHas(w *world, a args) error {
	if len(w.period.uploads) == 0 {
		return fmt.Errorf("there is no upload since the last when")
	}
	u := w.period.uploads[len(w.period.uploads)-1]
	counts, err := w.counts([]*upload{u})
	if err != nil {
		return err
	}
	return compare(a, counts)
}

// uploadIs compares the state of the latest upload.
func uploadIs(w *world, a args) error {
	j, err := w.job("")
	if err != nil {
		return err
	}
	if len(j.uploads) == 0 {
		return fmt.Errorf("%s has sent nothing", j.name)
	}
	st, err := w.Upload(w.t.Context(), j.pk, j.uploads[len(j.uploads)-1].ID)
	if err == nil && !strings.HasSuffix(a.step.text, string(st.State)) {
		err = fmt.Errorf("it is %s", st.State)
	}
	return err
}

func jobCounts(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	counts, err := w.counts(j.uploads)
	if err != nil {
		return err
	}
	return compare(a, counts)
}

// logHas compares a person's entries of the period: create success, update warning ReferenceNotResolved of manager.
func logHas(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	anchor := a.text("anchor")
	news, err := w.news(j, &anchor)
	if err != nil {
		return err
	}
	want, err := a.list("rest")
	if err != nil {
		return err
	}
	var got, all []string
	for i := range news {
		e := &news[i]
		all = append(all, describe(e))
		if i < len(want) {
			got = append(got, short(e, strings.Count(want[i], " ")))
		}
	}
	if len(news) != len(want) || !slices.Equal(got, want) {
		return fmt.Errorf("the log has %d: %s", len(news), strings.Join(all, "; "))
	}
	w.name(news)
	return nil
}

// short is an entry in so many words.
func short(e *provision.LogEntry, blanks int) string {
	s := e.Action.String() + " " + e.Status.String()
	if blanks > 1 {
		s += " " + e.Code
	}
	if blanks > 2 {
		s += " of " + e.Attribute
	}
	return s
}

func logHasNothing(w *world, a args) error {
	anchors, err := a.anchors("anchors")
	if err != nil {
		return err
	}
	for _, anchor := range anchors {
		news, err := w.news(nil, &anchor)
		if err != nil {
			return err
		}
		if len(news) > 0 {
			return fmt.Errorf("the log has %s", describe(&news[0]))
		}
	}
	return nil
}

// logShows looks for a changed attribute in the person's entries of the period.
func logShows(w *world, a args) error {
	anchor := a.text("anchor")
	news, err := w.news(nil, &anchor)
	if err != nil {
		return err
	}
	var shown []string
	for _, e := range news {
		for _, m := range e.Modified {
			if m.Attribute == a.values["attribute"] {
				if s := plain(m.Old) + " to " + plain(m.New); s == a.values["rest"] {
					return nil
				} else {
					shown = append(shown, s)
				}
			}
		}
	}
	return fmt.Errorf("the log shows %s", strings.Join(shown, "; "))
}

func plain(s *string) string {
	switch {
	case s == nil:
		return "nothing"
	case *s == "" || strings.Contains(*s, " "):
		return `"` + *s + `"`
	}
	return *s
}

func logWarns(w *world, a args) error {
	anchor := a.text("anchor")
	news, err := w.news(nil, &anchor)
	if err != nil {
		return err
	}
	var all []string
	for _, e := range news {
		all = append(all, e.Warnings...)
	}
	if !strings.Contains(strings.Join(all, "\n"), a.text("rest")) {
		return fmt.Errorf("the warnings are %q", all)
	}
	return nil
}

func directoryHas(w *world, a args) error {
	o, err := w.object(a.values["user"])
	if err != nil {
		return err
	}
	if o == nil {
		return fmt.Errorf("the directory has no %s", a.values["user"])
	}
	w.period.namedObjects[o.ID] = true
	all, err := a.assignments("values")
	if err != nil {
		return err
	}
	for _, as := range all {
		got := o.Attributes[as.attribute].String()
		if as.attribute == "manager" && got != "" {
			if m, err := w.users.Object(w.t.Context(), got); err == nil {
				got = m.Attributes["userPrincipalName"].String()
			}
		}
		if want := unquote(as.value); as.none && got != "" || !as.none && got != want {
			return fmt.Errorf("the %s of %s is %q", as.attribute, a.values["user"], got)
		}
	}
	return nil
}

func directoryHasNo(w *world, a args) error {
	o, err := w.object(a.values["user"])
	if err == nil && o != nil {
		return fmt.Errorf("the directory has %s", a.values["user"])
	}
	return err
}

func directoryCounts(w *world, a args) error {
	n, err := w.users.CountObjects(w.t.Context(), provision.ObjectQuery{})
	if err == nil && int(n) != a.count("n") {
		return fmt.Errorf("the directory has %d users", n)
	}
	return err
}

func unread(w *world, a args) error {
	j, err := w.job("")
	if err != nil {
		return err
	}
	paths, err := w.UnreadPaths(w.t.Context(), j.pk)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if p.Path == path(a.values["attribute"]) && int(p.Records) == a.count("n") {
			return nil
		}
	}
	return fmt.Errorf("unread are %v", paths)
}

// jobIs compares a job's state and, if any are given, all of the numbers of what waits: 1 queued, 2 held, 1 staged, 3 retrying.
func jobIs(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	stored, err := w.stored(j)
	if err != nil {
		return err
	}
	state, _, _ := strings.Cut(strings.TrimPrefix(a.step.text, a.values["job"]+" is "), ",")
	if state != string(stored.State) {
		return fmt.Errorf("it is %s", stored.State)
	}
	if !a.has("rest") {
		return nil
	}
	st, err := w.JobStatus(w.t.Context(), j.pk)
	if err != nil {
		return err
	}
	return compare(a, map[provision.End]int{provision.EndQueued: int(st.Queued), provision.EndHeld: int(st.Held),
		provision.EndRetrying: int(st.Retrying), "staged": int(st.Staged)})
}

// full tries to send one person more.
func full(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	err = w.send(j, posts([]map[string]any{{"externalId": "one more"}}))
	if errors.Is(err, provision.ErrQueueFull) {
		delete(j.latest, "one more")
		return nil
	}
	return fmt.Errorf("one more was accepted: %w", err)
}

func inQuarantine(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	st, err := w.JobStatus(w.t.Context(), j.pk)
	if err != nil {
		return err
	}
	q := st.Condition.Quarantine
	switch in := a.has("word"); {
	case q == nil && in:
		return fmt.Errorf("it is in no quarantine")
	case q == nil:
		return nil
	case !in:
		return fmt.Errorf("it is in quarantine because %s of %s", q.Reason, q.Code)
	case string(q.Reason) != a.values["word"] || a.has("word2") && q.Code != a.values["word2"]:
		return fmt.Errorf("it is in quarantine because %s of %s", q.Reason, q.Code)
	case a.has("time") && q.NextAttempt.Sub(w.clock.Now()) != a.duration("time"):
		return fmt.Errorf("the next attempt is in %s", q.NextAttempt.Sub(w.clock.Now()))
	}
	return nil
}

func lastCycle(w *world, a args) error {
	j, err := w.job(a.text("job"))
	if err != nil {
		return err
	}
	st, err := w.JobStatus(w.t.Context(), j.pk)
	if err != nil {
		return err
	}
	if last := st.Condition.Last; last == nil || string(last.State) != a.values["word"] {
		return fmt.Errorf("it was %+v", last)
	}
	return nil
}

// told compares all notices since the period began.
func told(w *world, a args) error {
	var kinds []string
	for _, j := range w.jobs {
		all, err := w.Notices(w.t.Context(), j.pk, 1000)
		if err != nil {
			return err
		}
		for _, n := range slices.Backward(all) {
			if n.ID > w.period.notice {
				kinds = append(kinds, string(n.Kind))
			}
		}
	}
	want, err := a.list("words")
	if err == nil && !slices.Equal(kinds, want) {
		err = fmt.Errorf("they are told %s", strings.Join(kinds, ", "))
	}
	return err
}

// audited looks for an entry of the audit log since the period began.
func audited(w *world, a args) error {
	page, err := w.QueryAudit(w.t.Context(), provision.AuditQuery{After: w.period.audit, Limit: 1000})
	if err != nil {
		return err
	}
	var all []string
	for _, e := range page.Entries {
		if e.Activity == a.text("text") && (!a.has("rest") || e.Actor.Name == a.values["rest"] || e.Actor.Name == "" && a.values["rest"] == "the service") {
			return nil
		}
		all = append(all, e.Activity+" by "+e.Actor.Name)
	}
	return fmt.Errorf("the audit log has %q", all)
}

// nothingElse: every entry of the period, and every object that has changed, was spoken of.
func nothingElse(w *world, _ args) error {
	news, err := w.news(nil, nil)
	if err != nil {
		return err
	}
	var also []string
	for i := range news {
		if !w.period.named[news[i].Seq] {
			also = append(also, "entry "+describe(&news[i]))
		}
	}
	all, err := w.everyObject()
	if err != nil {
		return err
	}
	here := map[string]bool{}
	for i := range all {
		o := &all[i]
		here[o.ID] = true
		if v, known := w.period.objects[o.ID]; (!known || v != o.Version) && !w.period.namedObjects[o.ID] {
			also = append(also, "a change of "+o.Attributes["userPrincipalName"].String())
		}
	}
	for id := range w.period.objects {
		if !here[id] && !w.period.namedObjects[id] {
			also = append(also, "the object "+id+" is gone")
		}
	}
	if len(also) > 0 {
		return fmt.Errorf("%d things more happened: %s", len(also), strings.Join(also[:min(len(also), 10)], "; "))
	}
	return nil
}
