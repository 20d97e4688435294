package records

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

func rows(t *testing.T, data []byte) ([][]string, []int, error) {
	t.Helper()
	c, err := NewCSV(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	all, lines := [][]string{c.Header}, []int{1}
	for {
		cells, line, err := c.Next()
		if err == io.EOF {
			return all, lines, nil
		}
		if err != nil {
			return all, lines, err
		}
		all, lines = append(all, slices.Clone(cells)), append(lines, line)
	}
}

func TestCSVEncodings(t *testing.T) {
	const text = "ID,Name\r\n1,Jürgen Größe\r\n2,Zoë\r\n"
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	late := "ID,Name\n" + strings.Repeat("1,plain\n", 20000)
	for name, data := range map[string][]byte{
		"utf-8":           []byte(text),
		"utf-8 bom":       []byte("\ufeff" + text),
		"windows-1252":    must(charmap.Windows1252.NewEncoder().Bytes([]byte(text))),
		"utf-16le bom":    must(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes([]byte(text))),
		"utf-16be bom":    must(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().Bytes([]byte(text))),
		"utf-16le bare":   must(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(text))),
		"utf-16be bare":   must(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(text))),
		"late utf-8":      []byte(late + "1,Jürgen Größe\n"),
		"late 1252":       must(charmap.Windows1252.NewEncoder().Bytes([]byte(late + "1,Jürgen Größe\n"))),
		"cut utf-8":       []byte("ID,Name\n1," + strings.Repeat("€", 50000) + "\n1,Jürgen Größe\n"), // a character over the end of what is looked at
		"1252 at the end": []byte("ID,Name\n1,Jürgen Größe"),
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := rows(t, data)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got[0], []string{"ID", "Name"}) {
				t.Errorf("header %q", got[0])
			}
			if !slices.ContainsFunc(got, func(r []string) bool { return r[1] == "Jürgen Größe" }) {
				t.Errorf("name not found in %d rows; first %q", len(got), got[1])
			}
		})
	}
}

func TestCSVDelimitersAndLines(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       [][]string
		lines      []int
	}{
		{"comma", "a,b\n1,2\n", [][]string{{"a", "b"}, {"1", "2"}}, []int{1, 2}},
		{"semicolon", "a;b\n1,5;2\n", [][]string{{"a", "b"}, {"1,5", "2"}}, []int{1, 2}},
		{"tab", "a\tb\n1\t2\n", [][]string{{"a", "b"}, {"1", "2"}}, []int{1, 2}},
		{"bar", "a|b\n1|2\n", [][]string{{"a", "b"}, {"1", "2"}}, []int{1, 2}},
		{"quoted delimiters", "\"x,y,z\";b\n1;2\n", [][]string{{"x,y,z", "b"}, {"1", "2"}}, []int{1, 2}},
		{"sep", "sep=;\r\na;b\r\n1;2\r\n", [][]string{{"a", "b"}, {"1", "2"}}, []int{1, 3}},
		{"embedded newline", "a,b\n\"1\n1\",2\n\n3,4\n", [][]string{{"a", "b"}, {"1\n1", "2"}, {"3", "4"}}, []int{1, 2, 5}},
		{"one column", "a\n1\n", [][]string{{"a"}, {"1"}}, []int{1, 2}},
		{"blank rows", "a,b\n1,2\n,\n  \n\" \", \n3,4\n", [][]string{{"a", "b"}, {"1", "2"}, {"3", "4"}}, []int{1, 2, 6}},
		{"carriage returns", "a,b\r1,2\r\r\"3\r\",4\r", [][]string{{"a", "b"}, {"1", "2"}, {"3\n", "4"}}, []int{1, 2, 4}},
		{"carriage returns, sep", "sep=;\ra;b\r1;2", [][]string{{"a", "b"}, {"1", "2"}}, []int{1, 3}},
		{"no final newline", "a,b\n1,2", [][]string{{"a", "b"}, {"1", "2"}}, []int{1, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, lines, err := rows(t, []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got, tc.want, slices.Equal) || !slices.Equal(lines, tc.lines) {
				t.Errorf("got %q at %v, want %q at %v", got, lines, tc.want, tc.lines)
			}
		})
	}
}

func TestCSVErrors(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"empty":       {"", "the file is empty"},
		"no names":    {",,\n", "names no column"},
		"short row":   {"a,b\n1,2\n3\n", "line 3: the row has 1 cells"},
		"bare quote":  {"a,b\n1,x\"y\n", "line 2: a quote stands inside"},
		"open quote":  {"a,b\n1,\"x\n", "closing quote"},
		"endless row": {"a,b\n1,2\n3,\"" + strings.Repeat("x\n", maxRow), "line 3: the row is longer than 1 MiB"},
		"mixed":       {"a,b\n1,ü" + strings.Repeat("x", 2*sniffSize) + "\xfc\n", "line 2: cell 2 is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := rows(t, []byte(tc.text))
			var input *InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// What a file holds does not steer the terminal on which its errors are read.
func TestErrorsArePrintable(t *testing.T) {
	_, err := all(open(t, "Worker\x1b[31mID,a\x00b\n1,2\n", Options{}), mustMapping(t, `{"attributes":{"externalId":"Name"}}`))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\x00") || !strings.Contains(err.Error(), "[31mID") {
		t.Errorf("%q", err)
	}
}
