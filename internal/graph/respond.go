package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"induct/internal/graph/odata"
	"induct/internal/provision"
)

const contentType = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

// zeroTime is how Graph writes "never".
const zeroTime = "0001-01-01T00:00:00Z"

// object is a JSON object whose members stand in an order and can be selected.
type object []member

type member struct {
	name  string
	value any
}

// encodedEntity is a JSON object that a context is put in front of.
type encodedEntity struct {
	context string
	entity  []byte
}

// objects renders each element of a slice.
func objects[T any](of []T, render func(*T) object) []object {
	out := make([]object, len(of))
	for i := range of {
		out[i] = render(&of[i])
	}
	return out
}

// appendTo writes the object to b; objects and lists of objects within it are written without being copied.
func (o object) appendTo(b *bytes.Buffer) error {
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := appendJSON(b, m.name); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := appendJSON(b, m.value); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

// appendJSON writes v to b, without escaping what only HTML needs escaped.
func appendJSON(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
		return nil
	case string:
		if plain(v) {
			b.WriteByte('"')
			b.WriteString(v)
			b.WriteByte('"')
			return nil
		}
	case *string:
		if v != nil {
			return appendJSON(b, *v)
		}
	case bool:
		b.WriteString(strconv.FormatBool(v))
		return nil
	case int:
		b.WriteString(strconv.Itoa(v))
		return nil
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
		return nil
	case object:
		return v.appendTo(b)
	case encodedEntity:
		b.WriteString(`{"@odata.context":`)
		if err := appendJSON(b, v.context); err != nil {
			return err
		}
		if len(v.entity) > len("{}") {
			b.WriteByte(',')
		}
		b.Write(v.entity[1:])
		return nil
	case json.RawMessage: // of ours, or checked when it was sent: it is well-formed
		if len(v) > 0 {
			b.Write(v)
			return nil
		}
	case []object:
		b.WriteByte('[')
		for i, o := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := o.appendTo(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

// plain reports whether a text stands for itself between quotes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// pick returns the members that $select names, in their own order, and OData's annotations; all of them if it names none.
func (o object) pick(selected []string) object {
	if len(selected) == 0 || slices.Contains(selected, "*") {
		return o
	}
	picked := make(object, 0, len(selected))
	for _, m := range o {
		if slices.Contains(selected, strings.ToLower(m.name)) || strings.HasPrefix(m.name, "@odata.") {
			picked = append(picked, m)
		}
	}
	return picked
}

// json answers with a JSON body.
func (c *call) json(status int, v any) {
	var b bytes.Buffer
	if err := appendJSON(&b, v); err != nil {
		panic(err) // only values that JSON has are ever answered
	}
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("OData-Version", "4.0")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b.Bytes()) // a client that is gone needs no answer
}

// entity answers 200 with one entity.
func (c *call) entity(context string, o object) error {
	c.json(http.StatusOK, append(object{{"@odata.context", c.context(context)}}, o...))
	return nil
}

// collection answers 200 with a page of a collection; next is the nextLink, "" on the last page.
func (c *call) collection(context string, value []object, next string, count *int64) error {
	o := object{{"@odata.context", c.context(context)}}
	if count != nil {
		o = append(o, member{"@odata.count", *count})
	}
	if next != "" {
		o = append(o, member{"@odata.nextLink", next})
	}
	if value == nil {
		value = []object{}
	}
	c.json(http.StatusOK, append(o, member{"value", value}))
	return nil
}

// encoded answers with one entity that is JSON already: an object.
func (c *call) encoded(status int, context string, entity []byte) error {
	c.json(status, encodedEntity{c.context(context), entity})
	return nil
}

// number answers 200 with a number alone, as …/$count does.
func (c *call) number(n int64) error {
	body := strconv.FormatInt(n, 10)
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = c.w.Write([]byte(body)) // a client that is gone needs no answer
	return nil
}

// none answers with a status and nothing else. A 204 has no Content-Length either (RFC 9110 section 8.6).
func (c *call) none(status int) error {
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
	return nil
}

func (c *call) root() string { return c.s.base(c.r) + "/" + c.version }

func (c *call) context(of string) string { return c.root() + "/$metadata#" + of }

// nextLink is the URL of this request with another skip token.
func (c *call) nextLink(token string) string {
	var kept []string
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		name = strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(name), "%24", "$"), "$")
		if pair != "" && name != "skiptoken" {
			kept = append(kept, pair)
		}
	}
	kept = append(kept, "$skiptoken="+token)
	return c.s.base(c.r) + c.r.URL.EscapedPath() + "?" + strings.Join(kept, "&")
}

// options reads the system query options.
func (c *call) options() (odata.Options, error) { return odata.ParseOptions(c.r.URL.RawQuery) }

// pageSize is $top within 1 to most, or usual if it was not given, and no more than the client prefers.
func (c *call) pageSize(top *int, usual, most int) (int, error) {
	size := usual
	if top != nil {
		size = *top
	}
	if size < 1 || size > most {
		return 0, badRequest("Invalid page size specified: '%d'. Must be between 1 and %d inclusive.", size, most)
	}
	if preferred := maxPageSize(c.r.Header); preferred > 0 {
		c.w.Header().Set("Preference-Applied", "odata.maxpagesize="+strconv.Itoa(preferred))
		size = min(size, preferred)
	}
	return size, nil
}

// maxPageSize is the page size that a Prefer header asks for (OData 4.01 Protocol section 8.2.8.5), 0 if none does.
func maxPageSize(h http.Header) int {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(preference, "=")
			name = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "odata.")
			if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31); name == "maxpagesize" && err == nil {
				return int(n)
			}
		}
	}
	return 0
}

// get returns the value of a member by its lower-case name, for a filter.
func (o object) get(path string) any {
	for _, m := range o {
		if strings.ToLower(m.name) == path {
			return m.value
		}
	}
	return odata.UnknownProperty{}
}

// selection is the part of a context that names the selected properties, as they are spelled in o.
func selection(selected []string, o object) string {
	if len(selected) == 0 {
		return ""
	}
	var names []string
	for _, m := range o.pick(selected) {
		if m.name[0] != '@' {
			names = append(names, m.name)
		}
	}
	return "(" + strings.Join(names, ",") + ")"
}

// parseFilter reads a $filter; nil if there is none.
func parseFilter(text string) (*odata.Filter, error) {
	if text == "" {
		return nil, nil
	}
	f, err := odata.ParseFilter(text)
	if err != nil {
		return nil, invalidFilter(err)
	}
	return f, nil
}

func isNotFound(err error) bool { return errors.Is(err, provision.ErrNotFound) }

// timestamp writes a time in UTC, to the microsecond; "never" for the zero time.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return zeroTime
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

// timeOrNull is timestamp, but null for the zero time.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return timestamp(t)
}

func orDefault(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

// orNull is s, but null if s is empty.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
