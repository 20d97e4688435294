package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"induct/internal/expr"
)

func exprFunctionsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "functions [NAME]",
		Short: "List the functions of expressions, or explain one",
		Long: "Lists the functions with a sentence each, or explains one: its parameters, its traps, and examples with what they give.\n" +
			"A part of a name, or a word of the explanation, finds the functions that have it.",
		Example: "  induct expr functions\n  induct expr functions Replace\n  induct expr functions date",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return functionNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list := expr.Functions()
			if len(args) == 1 {
				if list = findFunctions(list, args[0]); list == nil {
					return unusable(fmt.Errorf("no function has %q in its name or its explanation; `induct expr functions` lists them all", args[0]))
				}
			}
			w := cmd.OutOrStdout()
			switch {
			case asJSON:
				return printJSON(w, jsonFunctions(list))
			case len(list) == 1:
				printFunction(w, &list[0])
			default:
				printFunctions(w, list)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func functionNames() (names []string) {
	for _, f := range expr.Functions() {
		names = append(names, f.Name)
	}
	return names
}

// findFunctions returns the function of that name, else those with the word in their name, else in their explanation.
func findFunctions(list []expr.Function, word string) (found []expr.Function) {
	word = strings.ToLower(word)
	for _, has := range []func(f *expr.Function) bool{
		func(f *expr.Function) bool { return strings.ToLower(f.Name) == word },
		func(f *expr.Function) bool { return strings.Contains(strings.ToLower(f.Name), word) },
		func(f *expr.Function) bool { return strings.Contains(strings.ToLower(f.Doc), word) },
	} {
		for i := range list {
			if has(&list[i]) {
				found = append(found, list[i])
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

func printFunctions(w io.Writer, list []expr.Function) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var refused []string
	for i := range list {
		if f := &list[i]; f.Refused != "" {
			refused = append(refused, f.Name)
		} else {
			fmt.Fprintf(t, "%s\t%s\n", f.Name, plain(firstSentence(f.Doc)))
		}
	}
	t.Flush()
	if refused != nil {
		fmt.Fprint(w, "\nNot usable here: ", strings.Join(refused, ", "), "\n")
	}
}

func printFunction(w io.Writer, f *expr.Function) {
	if f.Refused != "" {
		fmt.Fprintf(w, "%s cannot be used here: %s.\n", f.Name, plain(f.Refused))
		return
	}
	fmt.Fprintf(w, "%s\n\n%s", f.Signature(), indent(wrap(plain(f.Doc), 96), "  "))
	if len(f.Params) > 0 {
		fmt.Fprintln(w, "\nParameters")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for i, p := range f.Params {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", p.Name, kindOf(f, i), plain(p.Doc))
		}
		t.Flush()
	}
	fmt.Fprintf(w, "\nGives  %s%s\n", article(string(f.Returns)), traits(f))
	if len(f.Traps) > 0 {
		fmt.Fprintln(w, "\nMind")
		for _, t := range f.Traps {
			fmt.Fprint(w, indent(wrap("- "+plain(t), 96), "  "))
		}
	}
	if len(f.Examples) > 0 {
		fmt.Fprintln(w, "\nExamples")
		for _, x := range f.Examples {
			printExample(w, x)
		}
	}
}

func kindOf(f *expr.Function, i int) string {
	p := f.Params[i]
	kind := string(p.Type)
	if !p.Required {
		kind += ", optional"
	}
	if f.Repeats(i) {
		kind += ", repeated"
	}
	return kind
}

func article(t string) string {
	switch t {
	case string(expr.Values):
		return "several values"
	case string(expr.Number):
		return "a whole number"
	}
	return "a " + t
}

func traits(f *expr.Function) string {
	var b strings.Builder
	if f.Volatile {
		b.WriteString("; another one each time")
	}
	if f.MultiValued {
		b.WriteString("; made for attributes with several values")
	}
	if f.Extension {
		b.WriteString("; Entra does not have it")
	}
	return b.String()
}

func printExample(w io.Writer, x expr.Example) {
	fmt.Fprintf(w, "  %s\n", x.Expr)
	for _, g := range x.Given {
		fmt.Fprintf(w, "      [%s] = %s\n", g.Name, givenText(g.Values))
	}
	fmt.Fprintf(w, "      → %s\n", x.Result)
}

func givenText(values []string) string {
	if len(values) == 0 {
		return "null"
	}
	return strings.Join(values, "; ")
}

// plain takes the marks of Markdown out of a text.
func plain(text string) string { return strings.NewReplacer("`", "", "*", "").Replace(text) }

// firstSentence is the first sentence of a text, or its first line.
func firstSentence(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if first, _, ok := strings.Cut(text, ". "); ok {
		return first + "."
	}
	return text
}

// wrap breaks the lines of a text into lines of at most width characters, between words. What belongs to a line that
// begins with "- " stands below its first word.
func wrap(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		hang := ""
		if strings.HasPrefix(line, "- ") {
			hang = "  "
		}
		column := 0
		for i, word := range strings.Fields(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case column+1+n > width:
				b.WriteString("\n" + hang)
				column = len(hang)
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
		b.WriteByte('\n')
	}
	return b.String()
}

type (
	functionJSON struct {
		Name        string        `json:"name"`
		Signature   string        `json:"signature"`
		Doc         string        `json:"doc,omitempty"`
		Parameters  []paramJSON   `json:"parameters,omitempty"`
		Returns     string        `json:"returns,omitempty"`
		Traps       []string      `json:"traps,omitempty"`
		Examples    []exampleJSON `json:"examples,omitempty"`
		Volatile    bool          `json:"volatile"`
		MultiValued bool          `json:"multiValued"`
		Extension   bool          `json:"extension"` // Entra does not have it
		Refused     string        `json:"refused,omitempty"`
	}
	paramJSON struct {
		Name      string `json:"name"`
		Type      string `json:"type"`
		Required  bool   `json:"required"`
		Repeating bool   `json:"repeating"`
		Doc       string `json:"doc"`
	}
	exampleJSON struct {
		Expression string              `json:"expression"`
		Attributes map[string][]string `json:"attributes,omitempty"`
		Result     string              `json:"result"`
	}
)

func jsonFunctions(list []expr.Function) []functionJSON {
	docs := make([]functionJSON, len(list))
	for i := range list {
		f := &list[i]
		d := functionJSON{Name: f.Name, Signature: f.Signature(), Doc: f.Doc, Returns: string(f.Returns), Traps: f.Traps,
			Volatile: f.Volatile, MultiValued: f.MultiValued, Extension: f.Extension, Refused: f.Refused}
		for j, p := range f.Params {
			d.Parameters = append(d.Parameters, paramJSON{p.Name, string(p.Type), p.Required, f.Repeats(j), p.Doc})
		}
		for _, x := range f.Examples {
			e := exampleJSON{Expression: x.Expr, Result: x.Result}
			for _, g := range x.Given {
				if e.Attributes == nil {
					e.Attributes = map[string][]string{}
				}
				e.Attributes[g.Name] = orEmpty(g.Values)
			}
			d.Examples = append(d.Examples, e)
		}
		docs[i] = d
	}
	return docs
}
