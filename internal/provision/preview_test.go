package provision_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"induct/internal/mapping"
	"induct/internal/provision"
)

// preview previews a record.
func (e *engine) preview(q provision.PreviewQuery, record m) *provision.Preview {
	e.t.Helper()
	if record != nil {
		q.Operation.Anchor, _ = record["externalId"].(string)
		q.Operation.Data, _ = json.Marshal(record)
	}
	p, err := e.Preview(e.t.Context(), e.job.PK, q)
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

// modified lists what a preview would write.
func modified(p *provision.Preview) (names []string) {
	for _, c := range p.Planned.Modified {
		names = append(names, c.Attribute)
	}
	slices.Sort(names)
	return names
}

// TestPreviewForetells previews records, and then sends them: what was foretold happens, and nothing before.
func TestPreviewForetells(t *testing.T) {
	e := newEngine(t)
	_, receipts := e.upload(person("1", m{"title": "Analyst"}), person("2", nil))
	e.want(receipts, "created created")
	for i, r := range []m{
		person("1", m{"title": "Analyst"}),
		person("1", m{"title": "Lead"}),
		person("1", m{"title": "Lead", "active": false}),
		person("3", reportsTo("1")),
		person("2", reportsTo("1")),
		person("2", reportsTo("1")),
		person("4", m{"active": "perhaps"}),
		{"userName": "nobody"},
	} {
		before, _ := e.LastSeq(t.Context())
		p := e.preview(provision.PreviewQuery{}, r)
		if after, _ := e.LastSeq(t.Context()); after != before {
			t.Errorf("record %d: the log went from %d to %d", i, before, after)
		}
		_, receipts := e.upload(r)
		if receipts[0].End != p.Entry.End || receipts[0].Entry.Code != p.Entry.Code || receipts[0].Entry.Reason != p.Entry.Reason {
			t.Errorf("record %d: foretold %s %q, came to %s %q", i, p.Entry.End, p.Entry.Reason, receipts[0].End, receipts[0].Entry.Reason)
		}
		if !reflect.DeepEqual(receipts[0].Entry.Modified, p.Entry.Modified) {
			t.Errorf("record %d: wrote %+v, foretold %+v", i, receipts[0].Entry.Modified, p.Entry.Modified)
		}
	}
}

// TestPreviewOfUniqueValues: what others have is passed over, as it will be.
func TestPreviewOfUniqueValues(t *testing.T) {
	e := newEngine(t)
	if err := e.SetSchema(t.Context(), e.job.PK, e.mapped("mailNickname", `SelectUniqueValue([nickName], Join("", [nickName], "2"))`)); err != nil {
		t.Fatal(err)
	}
	_, receipts := e.upload(person("1", m{"nickName": "al"}))
	e.want(receipts, "created")
	p := e.preview(provision.PreviewQuery{}, person("2", m{"nickName": "al"}))
	for _, c := range p.Planned.Modified {
		if c.Attribute == "mailNickname" && *c.New == "al2" {
			return
		}
	}
	t.Errorf("%s %q: %v", p.Entry.End, p.Entry.Reason, modified(p))
}

func TestPreviewOfSchema(t *testing.T) {
	e := newEngine(t)
	_, receipts := e.upload(person("1", m{"title": "Analyst", "nickName": "Al"}))
	e.want(receipts, "created")
	s := *e.job.Schema
	s.Rules = slices.Clone(s.Rules)
	om := s.Rules[0].ObjectMappings[0]
	om.AttributeMappings = slices.Clone(om.AttributeMappings)
	for i, a := range om.AttributeMappings {
		if a.TargetAttributeName == "jobTitle" {
			om.AttributeMappings[i].Expression = "ToUpper([title])"
		}
	}
	s.Rules[0].ObjectMappings = []mapping.ObjectMapping{om}
	p := e.preview(provision.PreviewQuery{Schema: &s, Operation: provision.Operation{Anchor: "1"}}, nil)
	if p.Entry.End != provision.EndUpdated || !slices.Equal(modified(p), []string{"jobTitle"}) || *p.Planned.Modified[0].New != "ANALYST" {
		t.Errorf("%+v %+v", p.Entry, p.Planned)
	}
	if p.Person == nil || p.Current == nil || p.Current.ID != p.Person.ObjectID {
		t.Errorf("person %+v, object %+v", p.Person, p.Current)
	}
	// A delta: alone it leaves out what the scope would be decided by.
	if p := e.preview(provision.PreviewQuery{}, m{"externalId": "1", "userName": "u1"}); !slices.Contains(keys(t, p.Kept), "nickName") {
		t.Errorf("kept %s", p.Kept)
	}
	if p := e.preview(provision.PreviewQuery{Alone: true}, m{"externalId": "1", "userName": "u1"}); slices.Contains(keys(t, p.Kept), "nickName") {
		t.Errorf("alone %s", p.Kept)
	}
	if _, err := e.Preview(t.Context(), e.job.PK, provision.PreviewQuery{Operation: provision.Operation{Anchor: "none"}}); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	var wrong *mapping.SchemaError
	if _, err := e.Preview(t.Context(), e.job.PK, provision.PreviewQuery{Schema: &mapping.Schema{}, Operation: provision.Operation{Anchor: "1"}}); !errors.As(err, &wrong) {
		t.Errorf("an empty schema: %v", err)
	}
}

func keys(t *testing.T, record []byte) (names []string) {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(record, &o); err != nil {
		t.Fatal(err)
	}
	for name := range o {
		names = append(names, name)
	}
	return names
}
