package mapping

import (
	"testing"
	"time"
)

// The quick way to a name gives what the long one does.
func TestNameIsThatOfEvaluate(t *testing.T) {
	s, _ := Template("API2AAD")
	p, err := Compile(s, Settings{DefaultDomain: "acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range []string{
		`{"externalId":"1","displayName":" Ada L. ","userName":"ada@x.example"}`,
		`{"externalId":"1","displayName":"","name":{"givenName":"Ada","familyName":" Lo "},"userName":"ada@x.example"}`,
		`{"externalId":"1","displayName":null,"name":{"familyName":"Lo"}}`,
		`{"externalId":"1","userName":"ada@x.example","name":null}`,
		`{"externalId":"1","DISPLAYNAME":"山田 花子"}`,
		`{"externalId":"1","displayName":7}`,
		`{"externalId":"1"}`,
	} {
		out := p.Evaluate(Record{Sent: []byte(record), Now: time.Unix(0, 0)})
		if got := p.Name([]byte(record)); got != out.DisplayName {
			t.Errorf("%s: %q, want %q", record, got, out.DisplayName)
		}
	}
	if got := p.Name([]byte("[")); got != "" {
		t.Errorf("no record: %q", got)
	}
}
