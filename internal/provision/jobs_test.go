package provision_test

import "testing"

// TestDeletedJob holds that a deleted job is gone for everybody but the log, also after the service was started anew.
func TestDeletedJob(t *testing.T) {
	e := newEngine(t)
	e.upload(person("1", nil))
	if err := e.DeleteJob(t.Context(), e.job.PK); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		jobs, err := e.Jobs(t.Context())
		if err != nil || len(jobs) != 0 {
			t.Errorf("jobs: %v %v", jobs, err)
		}
		logged, err := e.LoggedJobs(t.Context())
		if err != nil || len(logged) != 1 || logged[0].ID != e.job.ID {
			t.Errorf("jobs of the log: %v %v", logged, err)
		}
		e.close()
		e.open()
	}
}
