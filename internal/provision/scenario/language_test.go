package scenario

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeListsEverySentence holds the page of the language against the language.
func TestReadmeListsEverySentence(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(pages, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		listed[m[1]] = true
	}
	for _, s := range compile(t) {
		if !listed[s.form] {
			t.Errorf("docs/behaviour/README.md does not list %q", s.form)
		}
		delete(listed, s.form)
	}
	for form := range listed {
		t.Errorf("docs/behaviour/README.md lists %q, which is no sentence", form)
	}
}

// TestEverySentenceIsUsed keeps the language as small as its pages.
func TestEverySentenceIsUsed(t *testing.T) {
	language := compile(t)
	used := map[string]bool{}
	for _, doc := range documents(t) {
		for _, sc := range doc.scenarios {
			for i := range sc.steps {
				if s, _, err := read(language, &sc.steps[i]); err == nil {
					used[s.form] = true
				}
			}
		}
	}
	for _, s := range language {
		if !used[s.form] {
			t.Errorf("no page says %q", s.form)
		}
	}
}

// TestWrongScenariosFail proves that a scenario can fail: at which line, and why.
func TestWrongScenariosFail(t *testing.T) {
	language := compile(t)
	for name, test := range map[string]struct{ text, want string }{
		"another end":     {"when HR sends 2 people\nthen record 1 is updated", "x.md:4: then record 1 is updated: record 1 is created"},
		"another count":   {"when HR sends 2 people\nthen the upload has 1 created", "2 are created, not 1"},
		"a count too few": {"when HR sends 2 people\nthen the upload has 2 created, 1 failed", "none is failed, not 1"},
		"another value":   {"when HR sends 2 people with title Cook\nthen the directory has person1@one.example with jobTitle Chef", `the jobTitle of person1@one.example is "Cook"`},
		"a value too much": {"when HR sends 2 people with title Cook\nthen the directory has person1@one.example with no jobTitle",
			`the jobTitle of person1@one.example is "Cook"`},
		"no such object":    {"when HR sends 1 people\nthen the directory has person2@one.example", "has no person2@one.example"},
		"an object":         {"when HR sends 1 people\nthen the directory has no person1@one.example", "has person1@one.example"},
		"another entry":     {"when HR sends 1 people\nthen the log has for 1: update success", "the log has 1: 1: create success"},
		"an entry more":     {"when HR sends 1 people\nthen the log has for 1: create success, update success", "the log has 1: 1: create success"},
		"an entry":          {"when HR sends 1 people\nthen the log has nothing for 1", "the log has 1: create success"},
		"something else":    {"when HR sends 2 people\nthen record 1 is created\nand nothing else happened", "2 things more happened: entry 2: create success; a change of person2@one.example"},
		"another code":      {"when HR sends 1 people with no userName\nthen record 1 is failed because Conflict", "another one: 1: create failure MandatoryFieldsMissing"},
		"another attribute": {"when HR sends 1 people with no userName\nthen record 1 is failed of title", "about another attribute"},
		"never sent":        {"when HR sends 1 people\nthen record 2 is created", "2 has not been sent to HR"},
		"no sentence":       {"when HR sleeps", "no sentence of docs/behaviour/README.md reads like this"},
		"no job":            {"when Payroll sends 1 people", `there is no job "Payroll"`},
		"a refused schema":  {"when HR maps [nonsense] to jobTitle", `no attribute "nonsense"`},
		"a job's counts":    {"when HR sends 1 people\nthen HR counts 2 created", "1 are created, not 2"},
		"unread":            {"when HR sends 1 people with nickName Ann\nthen nobody has read nickName, which 2 records had", "unread are [{nickName 1}]"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := parseDocument("x.md", "```scenario\ngiven a job HR with the default mapping\n"+test.text+"\n```\n")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, newFiles)
			defer w.close()
			err = run(w, language, doc.path, doc.scenarios[0].steps)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestParseDocument(t *testing.T) {
	doc, err := parseDocument("x.md", "# Page\n```scenario\ngiven a\n```\n## One\nprose\n```scenario\nwhen b\n  | x | y |\n  | \"1|2\" | |\nand c\n  {\"k\":\n  1}\nthen d\n```\n```\nnot ours\n```\n## Two\n```scenario\nthen e\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, sc := range doc.scenarios {
		got = append(got, sc.title)
		for _, s := range sc.steps {
			got = append(got, s.keyword+" "+s.text+" "+strings.Join(slices.Concat(s.table...), ",")+strings.ReplaceAll(s.json, "\n", ""))
		}
	}
	want := []string{"One", "given a ", `when b x,y,"1|2",`, `when c {"k":1}`, "then d ", "Two", "given a ", "then e "}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestParseDocumentRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"```scenario\nand a\n```":                    `x.md:2: a block cannot begin with "and"`,
		"```scenario\n| a |\n```":                    "x.md:2: a table or JSON belongs below a sentence",
		"```scenario\nmaybe a\n```":                  `x.md:2: a sentence begins with given, when, then or and, not with "maybe"`,
		"```scenario\nwhen a\n| a | b |\n| 1 |\n```": "x.md:4: the row has 1 cells, the table's head has 2",
		"```scenario\nwhen a\n| a\n```":              "x.md:3: a row of a table begins and ends with |",
		"```scenario\nwhen a\n{\"a\"\n```":           "x.md:4: the JSON in this block has no end",
		"```scenario\nwhen a\n| \"a |\n```":          "x.md:3: a text in quotes has no end",
		"```scenario\nwhen a":                        "x.md: a code block has no end",
	} {
		if _, err := parseDocument("x.md", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: the error is %v, want %q", text, err, want)
		}
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add("# Page\n```scenario\ngiven a job HR\nwhen b\n| x |\n| 1 |\nand c\n{\"a\": [1]}\n```\n## One\n")
	language := compile(f)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := parseDocument("x.md", text)
		if err != nil {
			return
		}
		for _, sc := range doc.scenarios {
			for i := range sc.steps {
				_, _, _ = read(language, &sc.steps[i])
			}
		}
	})
}
