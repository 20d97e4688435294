package odata

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const maxQuery = 32 << 10 // bytes of a raw query: a filter of maxFilter, each byte percent-encoded, and the rest

const maxOrder = 8 // criteria of $orderby: a list may be sorted once for each

// Options are the system query options of a request. Zero values stand for options that were not given, or given empty.
type Options struct {
	Filter    string   // for ParseFilter
	Select    []string // lower case; may contain "*"
	OrderBy   []Order
	Top, Skip *int // not negative
	Count     bool
	SkipToken string
	Expand    string // as sent
	Search    string // as sent
	Format    string // as sent
	Raw       string // the query that was parsed, as sent
}

// Order is one criterion of $orderby.
type Order struct {
	Path string // lower case
	Desc bool
}

// ParseOptions reads the system query options of a URL's raw query. Names are recognised in any case, with or without
// their $, percent-encoded or not; a space may be + or %20. Parameters that are not OData's are left to the caller. An
// unsupported $option, an option given twice, or a value that its option does not allow is an *Error.
func ParseOptions(rawQuery string) (Options, error) {
	o := Options{Raw: rawQuery}
	if len(rawQuery) > maxQuery {
		return o, queryError("the query is longer than %d bytes", maxQuery)
	}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			return o, queryError("the query option %q is not correctly percent-encoded", clip(pair))
		}
		key = strings.ToLower(strings.TrimSpace(key))
		option := strings.TrimPrefix(key, "$")
		set, ok := setters[option]
		if !ok {
			if option != key {
				return o, queryError("the query option '%s' is not supported", clip(key))
			}
			continue
		}
		if seen[option] {
			return o, queryError("the query option '$%s' is given twice", option)
		}
		seen[option] = true
		if value, err = url.QueryUnescape(value); err != nil {
			return o, queryError("the value of '$%s' is not correctly percent-encoded: write %% as %%25", option)
		}
		if err := set(&o, value); err != nil {
			return o, queryError("invalid value %q of '$%s': %v", clip(value), option, err)
		}
	}
	return o, nil
}

func queryError(format string, args ...any) *Error {
	return &Error{Pos: -1, Msg: fmt.Sprintf(format, args...)}
}

var setters = map[string]func(o *Options, value string) error{
	"filter":    func(o *Options, v string) error { o.Filter = strings.TrimSpace(v); return nil },
	"skiptoken": func(o *Options, v string) error { o.SkipToken = v; return nil },
	"expand":    func(o *Options, v string) error { o.Expand = v; return nil },
	"search":    func(o *Options, v string) error { o.Search = v; return nil },
	"format":    func(o *Options, v string) error { o.Format = v; return nil },
	"top":       func(o *Options, v string) (err error) { o.Top, err = parseCount(v); return err },
	"skip":      func(o *Options, v string) (err error) { o.Skip, err = parseCount(v); return err },
	"select":    func(o *Options, v string) (err error) { o.Select, err = parseNames(v); return err },
	"orderby":   parseOrderBy,
	"count": func(o *Options, v string) error {
		v = strings.ToLower(v)
		if o.Count = v == "true"; v != "true" && v != "false" {
			return fmt.Errorf("it is true or false")
		}
		return nil
	},
}

func parseCount(v string) (*int, error) {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("it is a number that is not negative")
	}
	count := int(n)
	return &count, nil
}

// parseNames splits a comma-separated list and lowers it.
func parseNames(v string) ([]string, error) {
	if strings.TrimSpace(v) == "" {
		return nil, nil
	}
	names := strings.Split(strings.ToLower(v), ",")
	for i, n := range names {
		if names[i] = strings.TrimSpace(n); names[i] == "" {
			return nil, fmt.Errorf("a name is missing beside a comma")
		}
	}
	return names, nil
}

func parseOrderBy(o *Options, v string) error {
	criteria, err := parseNames(v)
	if len(criteria) > maxOrder {
		return fmt.Errorf("it has %d criteria, and %d are the most", len(criteria), maxOrder)
	}
	for _, c := range criteria {
		words := strings.Fields(c)
		if len(words) > 2 || len(words) == 2 && words[1] != "asc" && words[1] != "desc" {
			return fmt.Errorf("each criterion is a property, then asc or desc")
		}
		o.OrderBy = append(o.OrderBy, Order{Path: words[0], Desc: len(words) == 2 && words[1] == "desc"})
	}
	return err
}
