package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"induct/internal/provision"
)

func (c *call) startJob() error { return c.control((Service).StartJob) }
func (c *call) pauseJob() error { return c.control((Service).PauseJob) }

// control does something to the job that the path names, and answers 204.
func (c *call) control(do func(Service, context.Context, int64) error) error {
	job, err := c.job()
	if err != nil {
		return err
	}
	if err := do(c.s.Service, c.r.Context(), job.PK); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// restartJob forgets what the criteria say, and starts the job.
func (c *call) restartJob() error {
	body, err := c.optionalJSON()
	if err != nil {
		return err
	}
	scope, err := parseCriteria(body)
	if err != nil {
		return err
	}
	return c.control(func(s Service, ctx context.Context, jobPK int64) error {
		purge, err := s.RestartJob(ctx, jobPK, scope)
		if err == nil {
			c.w.Header().Set("x-induct-purged-uploads", strconv.FormatInt(purge.Uploads, 10))
			c.w.Header().Set("x-induct-purged-records", strconv.FormatInt(purge.Records, 10))
		}
		return err
	})
}

// usualReset is what a restart without criteria forgets, as "Restart provisioning" does.
const usualReset = provision.ResetEscrows | provision.ResetWatermark | provision.ResetQuarantineState

// resetFlags are the members of Graph's synchronizationJobRestartScope.
var resetFlags = []struct {
	name  string
	scope provision.ResetScope
}{
	{"None", 0}, {"ConnectorDataStore", provision.ResetConnectorDataStore}, {"Escrows", provision.ResetEscrows},
	{"Watermark", provision.ResetWatermark}, {"QuarantineState", provision.ResetQuarantineState}, {"Full", provision.ResetFull},
	{"ForceDeletes", provision.ResetForceDeletes},
}

// parseCriteria reads the body of a restart. What is not there means usualReset.
func parseCriteria(body []byte) (provision.ResetScope, error) {
	if body == nil {
		return usualReset, nil
	}
	var r struct {
		Criteria *struct {
			ResetScope json.RawMessage `json:"resetScope"`
		} `json:"criteria"`
	}
	if err := decode(body, &r); err != nil {
		return 0, err
	}
	if r.Criteria == nil || !present(r.Criteria.ResetScope) {
		return usualReset, nil
	}
	text := string(r.Criteria.ResetScope)
	if text[0] == '"' {
		if err := json.Unmarshal(r.Criteria.ResetScope, &text); err != nil {
			return 0, badRequest("criteria.resetScope is not valid text.")
		}
	}
	return parseResetScope(text)
}

// parseResetScope reads flags by name, in any case, or by number, separated by commas; "" means usualReset.
func parseResetScope(text string) (scope provision.ResetScope, err error) {
	if strings.TrimSpace(text) == "" {
		return usualReset, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		flag, ok := parseResetFlag(strings.TrimSpace(part))
		if !ok {
			return 0, badRequest("criteria.resetScope has the flag '%s': it is None, ConnectorDataStore, Escrows, Watermark, QuarantineState, Full or ForceDeletes, or some of them separated by commas.",
				clip(strings.TrimSpace(part)))
		}
		scope |= flag
	}
	return scope, nil
}

func parseResetFlag(text string) (provision.ResetScope, bool) {
	for _, f := range resetFlags {
		if strings.EqualFold(text, f.name) {
			return f.scope, true
		}
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return provision.ResetScope(n), err == nil && n&^uint64(provision.ResetFull|provision.ResetForceDeletes) == 0
}

// sentCredentials is the body of validateCredentials and acquireAccessToken. Values are looked at by nobody.
type sentCredentials struct {
	ApplicationIdentifier *string      `json:"applicationIdentifier"`
	TemplateID            *string      `json:"templateId"`
	UseSavedCredentials   *bool        `json:"useSavedCredentials"`
	Credentials           []sentSecret `json:"credentials"`
}

// credentials checks that the body, if there is one, is what it is to be.
func (c *call) credentials() error {
	body, err := c.optionalJSON()
	if err != nil || body == nil {
		return err
	}
	var sent sentCredentials
	if err := decode(body, &sent); err != nil {
		return err
	}
	if sent.TemplateID != nil && *sent.TemplateID != "" {
		if _, err := knownTemplate(*sent.TemplateID); err != nil {
			return err
		}
	}
	for _, s := range sent.Credentials {
		if _, err := knownSecret(s.Key); err != nil {
			return err
		}
	}
	return nil
}

// validateCredentials answers 204: the target of a job needs no credentials of a client.
func (c *call) validateCredentials() error {
	if err := c.credentials(); err != nil {
		return err
	}
	if _, named := c.params["{job}"]; named {
		if _, err := c.job(); err != nil {
			return err
		}
	} else if _, err := c.application(); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// acquireAccessToken answers 204, as for every target that no OAuth code is exchanged with.
func (c *call) acquireAccessToken() error {
	if err := c.credentials(); err != nil {
		return err
	}
	if _, err := c.application(); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// lackConnectivity answers what only the permissions reference knows of: neither body nor answer is documented.
func (c *call) lackConnectivity() error {
	return notSupported("Connectivity is not configured over this API: the target is the service's own.")
}

// optionalJSON reads the body of an action; nil if it is empty. If it is not, it must say that it is JSON.
func (c *call) optionalJSON() ([]byte, error) {
	body, err := c.body()
	if err != nil || len(bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))) == 0 {
		return nil, err
	}
	return body, c.jsonContent()
}
