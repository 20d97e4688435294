package provision_test

import (
	"testing"

	"induct/internal/provision"
)

// TestOnDemandEntry holds that who asks for one person is answered with the entry that the log has of it.
func TestOnDemandEntry(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", nil), person("2", nil))
	for _, subject := range []string{"2", e.user("u2@acme.example").ID} {
		done, err := e.ProvisionOnDemand(t.Context(), e.job.PK, subject)
		if err != nil {
			t.Fatal(err)
		}
		newest := e.log(provision.LogQuery{Limit: 1})[0]
		if got := done.Entry; got.Seq != newest.Seq || !got.Time.Equal(newest.Time) || got.Anchor != "2" || got.End != newest.End {
			t.Errorf("%s: %+v, and the log says %+v", subject, got, newest)
		}
	}
}
