package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sentence is a form of a step, and what it does. In a form {slot} stands for a value, (text) may be left out, and a/b is one
// of two words.
type sentence struct {
	form string
	run  func(w *world, a args) error
	re   *regexp.Regexp
}

// slots are the values that a form may ask for: each with what it looks like. What is more than a word is taken apart by the
// methods of args.
var slots = map[string]string{
	"job":       `the job|"[^"]+"|[A-Z][A-Za-z0-9]*`,
	"n":         `\d[\d,]*|no`,
	"time":      `\d+ (?:second|minute|hour|day)s?`,
	"people":    `\d[\d,]* people|people \d[\d,]* to \d[\d,]*`,
	"anchors":   `.+?`,
	"anchor":    `"[^"]*"|\S+`,
	"values":    `.+?`,
	"attribute": `[^\s"\[]+(?:\[[^\]]*\]\S*)?`,
	"word":      `[A-Za-z]\w*`,
	"words":     `[A-Za-z][\w ,]*?`,
	"text":      `"(?:[^"\\]|\\.)*"`,
	"user":      `[^\s@]+@[^\s,]+`,
	"how":       `for now|alone`,
	"rest":      `.+`,
}

var (
	slotPattern   = regexp.MustCompile(`\{(\w+?)(\d?)\}`)
	choicePattern = regexp.MustCompile(`\w+(?:/\w+)+`)
)

// compile makes a regular expression of the form. {n2} is a second {n}.
func (s *sentence) compile() error {
	form := regexp.QuoteMeta(s.form)
	form = strings.NewReplacer(`\{`, "{", `\}`, "}", `\(`, "(?:", `\)`, ")?").Replace(form)
	form = choicePattern.ReplaceAllStringFunc(form, func(c string) string { return "(?:" + strings.ReplaceAll(c, "/", "|") + ")" })
	var err error
	form = slotPattern.ReplaceAllStringFunc(form, func(slot string) string {
		m := slotPattern.FindStringSubmatch(slot)
		looks, ok := slots[m[1]]
		if !ok {
			err = fmt.Errorf("%q has the unknown slot %s", s.form, slot)
		}
		return "(?P<" + m[1] + m[2] + ">" + looks + ")"
	})
	if err == nil {
		s.re, err = regexp.Compile("^" + form + "$")
	}
	return err
}

// args are what a step has in the places of its sentence's slots, and below it.
type args struct {
	*step
	values map[string]string
}

func (s *sentence) match(st *step) (args, bool) {
	m := s.re.FindStringSubmatch(st.text)
	if m == nil {
		return args{}, false
	}
	a := args{st, map[string]string{}}
	for i, name := range s.re.SubexpNames() {
		if name != "" {
			a.values[name] = m[i]
		}
	}
	return a, true
}

func (a args) has(slot string) bool { return a.values[slot] != "" }

// text returns a slot's value without quotes.
func (a args) text(slot string) string { return unquote(a.values[slot]) }

func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil && strings.HasPrefix(s, `"`) {
		return u
	}
	return s
}

// count returns a number such as 4,999; no is 0.
func (a args) count(slot string) int { return number(a.values[slot]) }

func number(s string) int {
	n, _ := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
	return n
}

// duration returns a time such as 40 minutes.
func (a args) duration(slot string) time.Duration {
	n, unit, _ := strings.Cut(a.values[slot], " ")
	d := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	return time.Duration(number(n)) * d[strings.TrimSuffix(unit, "s")]
}

// list returns the parts of an enumeration: a, b and c.
func (a args) list(slot string) ([]string, error) {
	if !a.has(slot) {
		return nil, nil
	}
	return split(a.values[slot], ", ", " and ")
}

// anchors returns the people of an enumeration in which 1 to 3 stands for 1, 2 and 3.
func (a args) anchors(slot string) ([]string, error) {
	parts, err := a.list(slot)
	var all []string
	for _, p := range parts {
		from, to, ranged := strings.Cut(p, " to ")
		if !ranged {
			all = append(all, unquote(p))
			continue
		}
		for i := number(from); i <= number(to); i++ {
			all = append(all, strconv.Itoa(i))
		}
	}
	return all, err
}

// assignment is an attribute with a value, or with none.
type assignment struct {
	attribute, value string
	none             bool
}

// assignments returns an enumeration of attributes with values: title Cook, active false and no manager.
func (a args) assignments(slot string) (all []assignment, err error) {
	parts, err := a.list(slot)
	for _, p := range parts {
		one, e := parseAssignment(p)
		if e != nil {
			return nil, e
		}
		all = append(all, one)
	}
	return all, err
}

func parseAssignment(s string) (assignment, error) {
	if attribute, ok := strings.CutPrefix(s, "no "); ok {
		return assignment{attribute: attribute, none: true}, nil
	}
	m := assignmentPattern.FindStringSubmatch(s)
	if m == nil {
		return assignment{}, fmt.Errorf("%q is no attribute with a value: write title Cook, title \"Head cook\" or no title", s)
	}
	return assignment{attribute: m[1], value: m[2]}, nil
}

var assignmentPattern = regexp.MustCompile(`^([^\s"\[]+(?:\[[^\]]*\]\S*)?) (.+)$`)
