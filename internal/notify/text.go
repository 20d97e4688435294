package notify

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"induct/internal/provision"
)

// Paths below the service's URL, and below a job's, that a mail names.
const (
	jobPath     = "/v1.0/servicePrincipals/%s/synchronization/jobs/%s"
	heldPath    = "/heldChanges"
	approvePath = "/heldChanges/approve"
	rejectPath  = "/heldChanges/reject"
	escrowsPath = "/escrows"
	startPath   = "/start"
	restartPath = "/restart"
	logPath     = "/v1.0/auditLogs/provisioning"
)

// Bounds of what comes from outside, in characters.
const (
	maxName    = 120
	maxID      = 200
	maxDetail  = 1000
	lineLength = 76
)

// quarantineEnds is how long a job may be in quarantine before it is disabled (Microsoft Learn, "Application
// provisioning in quarantine status").
const quarantineEnds = 28 * 24 * time.Hour

// Text is what a notice says.
type Text struct {
	Subject string // one line
	Body    string // plain text, lines end in \n
}

// Compose words a notice: what happened, the figures, what Induct does by itself and when, and what people can do.
// Values from outside are put on one line and bounded. baseURL is the service's scheme and host, without a slash at its end.
func Compose(n provision.Notice, baseURL string) Text {
	t := &composer{Notice: n, name: bounded(oneLine(n.AppName), maxName)}
	if t.name == "" {
		t.name = "job " + bounded(oneLine(n.JobID), maxID)
	}
	t.job = strings.TrimSuffix(bounded(oneLine(baseURL), maxID), "/") + fmt.Sprintf(jobPath, segment(n.AppID), segment(n.JobID))
	t.log = strings.TrimSuffix(bounded(oneLine(baseURL), maxID), "/") + logPath
	switch {
	case n.Kind == provision.NoticeDeletes, n.Kind == provision.NoticeQuarantined && t.reason() == provision.QuarantineDeletes:
		t.deletes()
	case n.Kind == provision.NoticeQuarantined:
		t.quarantined()
	case n.Kind == provision.NoticeRecovered:
		t.recovered()
	case n.Kind == provision.NoticeDisabled:
		t.disabled()
	default:
		t.begin("news of the kind " + bounded(oneLine(string(n.Kind)), maxName))
		t.facts()
	}
	t.end()
	return Text{Subject: oneLine("[Induct] " + t.name + ": " + t.subject), Body: t.body.String()}
}

// segment writes an id as one segment of a URL's path.
func segment(id string) string { return url.PathEscape(bounded(oneLine(id), maxID)) }

// composer writes the body of one mail.
type composer struct {
	provision.Notice
	name, job, log string // of the app; URLs
	subject        string
	body           strings.Builder
	steps          int
}

func (t *composer) deletes() {
	t.begin(counted(t.Held, "disable or deletion", "disables and deletions") + " held, please decide")
	t.story("People were about to lose their accounts, more of them than the job's brake lets pass. So they keep them for now: " +
		"nothing of what is held has been carried out, and the job is in quarantine. Look at the source first: " +
		"many records that say \"active\": false, or a filter that now leaves people out.")
	t.heading("Figures")
	t.figure("Held", counted(t.Held, "disable or deletion", "disables and deletions")+", as of "+when(t.Time))
	t.figure("Carried out", number(t.Executed)+t.window())
	t.figure("Together", number(t.Held+t.Executed)+share(t.Held+t.Executed, t.Linked, " of "+counted(t.Linked, "enabled account")))
	t.figure("Threshold", t.threshold())
	t.heading("What Induct does by itself")
	t.paragraph("It carries out nothing of what is held: that waits for you. A newer record of a person takes the place of the one that is held. " +
		"Everything else that is uploaded waits in the queue, as long as it has room." + t.attempt("The next attempt is") +
		" If nothing is held any more by then, the quarantine ends, and you get a mail. If nobody decides until " + when(t.began().Add(quarantineEnds)) +
		", the job is disabled, and what is held is thrown away and not carried out.")
	t.heading("What to do")
	t.step("Look at who is concerned:", "GET "+t.job+heldPath)
	t.step("They are to go: approve all of them, or some:", "POST "+t.job+approvePath, `{"all": true}  or  {"externalIds": ["4711", "4712"]}`)
	t.step("They are to stay: reject, then correct the source and send these people again:", "POST "+t.job+rejectPath, `{"all": true}`)
	t.step("Then do not wait for the next attempt, make it now; this throws nothing away:", "POST "+t.job+restartPath, `{"criteria": {"resetScope": "None"}}`)
	t.facts()
}

func (t *composer) quarantined() {
	t.begin("the job is in quarantine: " + t.inShort())
	t.story(t.whatFailed() + " Until this is over, people are not created, changed or disabled at the usual pace.")
	t.failures()
	t.heading("What Induct does by itself")
	t.paragraph("Uploads are still accepted and wait in the queue, as long as it has room." + t.attempt("The job is tried again") +
		" The pauses grow, up to a day. One attempt that succeeds ends the quarantine, and you get a mail. If none does, the job is disabled on " +
		when(t.began().Add(quarantineEnds)) + ".")
	t.heading("What to do")
	if t.reason() != provision.QuarantineException {
		t.step("See what fails, and why:", "GET "+t.job+escrowsPath)
	}
	t.step("Remove the cause.")
	t.step("Do not wait for the next attempt: start the job. It ends the quarantine, and what waits is kept:", "POST "+t.job+startPath)
	t.step("Or begin anew: what is retried, held or queued is thrown away, and has to be sent again:",
		"POST "+t.job+restartPath, `{"criteria": {"resetScope": "Escrows, QuarantineState"}}`)
	t.facts()
}

func (t *composer) recovered() {
	t.begin("the job has left quarantine")
	t.story("The job works as usual again, and carries out what is in its queue. There is nothing to do.")
	t.facts()
}

func (t *composer) disabled() {
	t.begin("the job was disabled after " + spoken(quarantineEnds) + " in quarantine")
	t.story("Nobody is created, changed or disabled by this job any more. It was tried again and again, and never succeeded.")
	t.failures()
	t.heading("What Induct does by itself")
	t.paragraph("Nothing more, until somebody starts the job. Uploads are accepted as long as the queue has room, and wait there. " +
		"What was held or retried has been thrown away: these people have to be sent again.")
	t.heading("What to do")
	t.step("See what failed last:", "GET "+t.log)
	t.step("Remove the cause.")
	t.step("Start the job; what is in the queue is carried out:", "POST "+t.job+startPath)
	t.facts()
}

// begin sets the subject, says it again at the top, because a body is read without its subject, too, and quotes the engine.
func (t *composer) begin(subject string) {
	t.subject = subject
	t.paragraph(t.name + ": " + subject + ".")
	if q := t.Quarantine; q != nil && q.Message != "" && t.Kind != provision.NoticeRecovered {
		t.story(bounded(oneLine(q.Message), maxDetail))
	}
}

// failures are the figures of a quarantine that failed records have brought about.
func (t *composer) failures() {
	if t.Records == 0 {
		return
	}
	t.heading("Figures")
	t.figure("Failed", number(t.Failed)+" of "+counted(t.Records, "record")+t.window()+share(t.Failed, t.Records, ""))
}

// facts name the job and its quarantine.
func (t *composer) facts() {
	t.heading("Job")
	t.figure("App", t.name)
	t.figure("Job", bounded(oneLine(t.JobID), maxID))
	t.figure("Time", when(t.Time))
	t.figure("Link", t.job)
	q := t.Quarantine
	if q == nil {
		return
	}
	t.heading("Quarantine")
	t.figure("Reason", bounded(oneLine(string(q.Reason)), maxName))
	if q.Code != string(q.Reason) {
		t.figure("Error", bounded(oneLine(q.Code), maxName))
	}
	if t.Kind == provision.NoticeRecovered {
		t.figure("Message", bounded(oneLine(q.Message), maxDetail))
	}
	t.figure("Since", when(q.SeriesBegan))
	if !q.CurrentBegan.Equal(q.SeriesBegan) {
		t.figure("This reason", "since "+when(q.CurrentBegan))
	}
	if q.SeriesCount > 0 {
		t.figure("Attempts", number(q.SeriesCount)+" in vain")
	}
}

func (t *composer) end() {
	t.body.WriteString("\n-- \n") // what follows is a signature to mail programs
	t.paragraph("The calls need a token with Synchronization.ReadWrite.All. Induct sends this mail to the notification recipients " +
		"of the app; nobody reads an answer.")
}

func (t *composer) reason() provision.QuarantineReason {
	if t.Quarantine == nil {
		return ""
	}
	return t.Quarantine.Reason
}

// inShort is a reason for a subject.
func (t *composer) inShort() string {
	switch t.reason() {
	case provision.QuarantineProportion, provision.QuarantineBase, provision.QuarantineTotal:
		return "too many records fail"
	}
	if q := t.Quarantine; q != nil && oneLine(q.Code) != "" {
		return bounded(oneLine(q.Code), 60)
	}
	return "it cannot be carried out"
}

func (t *composer) whatFailed() string {
	switch t.reason() {
	case provision.QuarantineException:
		return "The job cannot be carried out as a whole: the directory does not answer or refuses us, or the job's own settings stop it."
	case provision.QuarantineProportion:
		return "At least 5,000 records fail, and these are more than 40 % of all."
	case provision.QuarantineBase:
		return "More than 40,000 records fail."
	case provision.QuarantineTotal:
		return "At least 60,000 records and references fail."
	}
	return "The job works at a lower pace."
}

// began is when the job has been at fault first.
func (t *composer) began() time.Time {
	if q := t.Quarantine; q != nil && !q.SeriesBegan.IsZero() {
		return q.SeriesBegan
	}
	return t.Time
}

func (t *composer) threshold() string {
	var parts []string
	if t.Threshold >= 0 {
		parts = append(parts, number(t.Threshold))
	}
	if t.Percent > 0 {
		parts = append(parts, fmt.Sprintf("%.4g %% of %s", t.Percent, counted(t.Linked, "enabled account")))
	}
	if len(parts) == 0 {
		return ""
	}
	return "more than " + strings.Join(parts, ", or more than ") + t.window()
}

// window says over which time something was counted.
func (t *composer) window() string {
	if t.Window <= 0 {
		return ""
	}
	return " within " + spoken(t.Window)
}

// attempt says when the next attempt is, if there is one.
func (t *composer) attempt(what string) string {
	if t.Quarantine == nil || t.Quarantine.NextAttempt.IsZero() {
		return ""
	}
	return " " + what + " on " + when(t.Quarantine.NextAttempt) + "."
}

func (t *composer) heading(s string) { t.body.WriteString("\n" + strings.ToUpper(s) + "\n") }

func (t *composer) paragraph(s string) { t.wrapped("", "", s) }

// story writes a paragraph below another one.
func (t *composer) story(s string) {
	t.body.WriteString("\n")
	t.paragraph(s)
}

// figure writes a value beside its name; without a value, nothing.
func (t *composer) figure(name, value string) {
	if value != "" {
		t.wrapped(fmt.Sprintf("  %-13s", name), strings.Repeat(" ", 15), value)
	}
}

// step writes a numbered step and its call. The lines of a call are not wrapped: they are there to be copied.
func (t *composer) step(what string, call ...string) {
	t.steps++
	t.wrapped(fmt.Sprintf("  %d. ", t.steps), "     ", what)
	for _, line := range call {
		t.body.WriteString("       " + line + "\n")
	}
}

// wrapped writes s behind first, in lines of lineLength where words allow it.
func (t *composer) wrapped(first, indent, s string) {
	line := first
	for i, w := range strings.Fields(s) {
		switch {
		case i == 0:
			line += w
		case len([]rune(line))+1+len([]rune(w)) > lineLength:
			t.body.WriteString(line + "\n")
			line = indent + w
		default:
			line += " " + w
		}
	}
	t.body.WriteString(line + "\n")
}

func when(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04 UTC")
}

// number writes n with separators, as in 12,345.
func number(n int64) string { return message.NewPrinter(language.English).Sprintf("%d", n) }

// counted writes n of something; a plural that is not made by an s is the third argument.
func counted(n int64, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return number(n) + " " + many[0]
	}
	return number(n) + " " + one + "s"
}

// share writes which part of b a is, or nothing if there is no b.
func share(a, b int64, of string) string {
	if b <= 0 {
		return ""
	}
	return fmt.Sprintf(", that is %.3g %%%s", 100*float64(a)/float64(b), of)
}
