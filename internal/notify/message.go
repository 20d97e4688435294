package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"induct/internal/provision"
)

const (
	maxRecipients = 100 // what every server takes in one transaction (RFC 5321 section 4.5.3.1.8)
	maxAddress    = 254 // RFC 5321 section 4.5.3.1.3, without the angle brackets
)

// message returns the mail of a notice. It depends on nothing but the notice and the settings: when it is sent again,
// because the answer of the server was lost, it is the same one, with the same Message-ID.
func (s *Sender) message(n provision.Notice, baseURL string, to []string) *mail.Msg {
	text := Compose(n, baseURL)
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(s.from)
	for _, a := range to {
		m.AddToMailAddress(&netmail.Address{Address: a})
	}
	m.SetMessageIDWithValue(messageID(n, domain(s.from.Address)))
	m.SetDateWithValue(n.Time.UTC())
	m.Subject(strings.ReplaceAll(text.Subject, "=?", "= ?")) // an encoded word is ours alone to make (RFC 2047)
	m.SetGenHeader("Auto-Submitted", "auto-generated")       // RFC 3834: no out-of-office replies, please
	m.SetBodyString(mail.TypeTextPlain, text.Body)
	return m
}

// messageID names a notice among those of all installations that send from the domain: its number alone would not.
func messageID(n provision.Notice, domain string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", n.JobID, n.Kind, n.Time.UnixMicro()))
	return fmt.Sprintf("induct.notice.%d.%s@%s", n.ID, hex.EncodeToString(sum[:8]), domain)
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// addresses returns the mail addresses among the recipients, each once, and the rest with what is wrong with them.
func addresses(recipients []string) (to []string, invalid refusals) {
	seen := make(map[string]bool)
	for _, r := range recipients {
		a, err := netmail.ParseAddress(r)
		switch {
		case strings.TrimSpace(r) == "":
		case err != nil:
			invalid = append(invalid, refusal{bounded(oneLine(r), 80), errors.New("no mail address")})
		case !deliverable(a.Address):
			invalid = append(invalid, refusal{bounded(oneLine(r), 80), errUndeliverable})
		case seen[strings.ToLower(a.Address)]:
		case len(to) == maxRecipients:
			invalid = append(invalid, refusal{a.Address, fmt.Errorf("one of more than %d recipients", maxRecipients)})
		default:
			seen[strings.ToLower(a.Address)] = true
			to = append(to, a.Address)
		}
	}
	return to, invalid
}

var errUndeliverable = errors.New("no mail address in ASCII of at most 254 characters; write an international domain as xn--…")

// deliverable reports whether an address that net/mail has parsed can stand in a command and in a header as it is.
// Addresses beyond ASCII (RFC 6531) cannot: few servers take them, and none would take the mail for the others then.
func deliverable(address string) bool {
	return len(address) <= maxAddress && domain(address) != "" && !strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// unsafe reports whether a character could break a line or deceive the eye.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// oneLine returns s as one line: whatever breaks lines, and whatever does not show, is a space.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unsafe(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// bounded returns s with at most n characters; one that was longer ends in an ellipsis.
func bounded(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return strings.TrimRight(string(runes[:n-1]), " ") + "…"
}

// spoken writes a duration the way people say it: "40 minutes", "6 hours", "3 days".
func spoken(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if d >= unit.length && d%unit.length == 0 {
			return counted(int64(d/unit.length), unit.name)
		}
	}
	return d.Round(time.Second).String()
}
