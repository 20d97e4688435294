package graph

import (
	"net/http"
	"slices"
	"strings"

	"induct/internal/provision"
)

// mostSecretValue bounds a value, in bytes.
const mostSecretValue = 64 << 10

// masked stands for a confidential value. As no such value is kept, it may be sent back in its place.
const masked = "*"

// secretKeys are the members of Graph's synchronizationSecret.
var secretKeys = []string{"None", "UserName", "Password", "SecretToken", "AppKey", "BaseAddress", "ClientIdentifier", "ClientSecret",
	"SingleSignOnType", "Sandbox", "Url", "Domain", "ConsumerKey", "ConsumerSecret", "TokenKey", "TokenExpiration", "Oauth2AccessToken",
	"Oauth2AccessTokenCreationTime", "Oauth2RefreshToken", "SyncAll", "InstanceName", "Oauth2ClientId", "Oauth2ClientSecret", "CompanyId",
	"UpdateKeyOnSoftDelete", "SynchronizationSchedule", "SystemOfRecord", "SandboxName", "EnforceDomain", "SyncNotificationSettings",
	"SkipOutOfScopeDeletions", "Oauth2AuthorizationCode", "Oauth2RedirectUri", "ApplicationTemplateIdentifier", "Oauth2TokenExchangeUri",
	"Oauth2AuthorizationUri", "AuthenticationType", "Server", "PerformInboundEntitlementGrants", "HardDeletesEnabled",
	"SyncAgentCompatibilityKey", "SyncAgentADContainer", "ValidateDomain", "TestReferences", "ConnectionString"}

// clearSecrets are those whose values are no secrets. Nothing here reads another, so that the values of others are dropped
// on arrival.
var clearSecrets = []string{"BaseAddress", "Domain", "SyncAll", provision.SecretNotifications, provision.SecretSkipOutOfScope, "SyncAgentADContainer"}

// sentSecret is a synchronizationSecretKeyStringValuePair as a client writes it.
type sentSecret struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

func (c *call) listSecrets() error {
	app, err := c.application()
	if err != nil {
		return err
	}
	return c.collection(app.context+"/synchronization/secrets", objects(app.Secrets, secretObject), "", nil)
}

func (c *call) countSecrets() error {
	app, err := c.application()
	if err != nil {
		return err
	}
	return c.number(int64(len(app.Secrets)))
}

// getSynchronization answers with the root of what an app synchronizes.
func (c *call) getSynchronization() error {
	app, err := c.application()
	if err != nil {
		return err
	}
	return c.entity(app.context+"/synchronization/$entity", object{
		{"id", app.ServicePrincipalID.String()},
		{"secrets", objects(app.Secrets, secretObject)},
	})
}

// secretObject shows a secret; of a confidential one only that it was set.
func secretObject(s *provision.KeyValue) object {
	value := masked
	if slices.Contains(clearSecrets, s.Key) {
		value = s.Value
	}
	return object{{"key", s.Key}, {"value", value}}
}

// putSecrets replaces all secrets of the app: what is not sent, or sent without a value, is gone.
func (c *call) putSecrets() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	secrets, err := parseSecrets(body)
	if err != nil {
		return err
	}
	app, err := c.provisioned()
	if err != nil {
		return err
	}
	if err := c.s.Service.SetSecrets(c.r.Context(), app.ServicePrincipalID, secrets); err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// parseSecrets reads the body of a PUT, in the order in which it stands there, and leaves confidential values out of it.
func parseSecrets(body []byte) ([]provision.KeyValue, error) {
	var sent struct {
		Value *[]sentSecret `json:"value"`
	}
	if err := decode(body, &sent); err != nil {
		return nil, err
	}
	if sent.Value == nil {
		return nil, badRequest(`The body has no value: send {"value": [{"key": "…", "value": "…"}]} with all secrets; an empty list removes them.`)
	}
	secrets := []provision.KeyValue{}
	seen := map[string]bool{}
	for _, s := range *sent.Value {
		key, err := knownSecret(s.Key)
		if err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, badRequest("The key '%s' is given twice: each secret has one value.", key)
		}
		seen[key] = true
		if s.Value == nil || *s.Value == "" {
			continue
		}
		value, err := keptValue(key, *s.Value)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, provision.KeyValue{Key: key, Value: value})
	}
	return secrets, nil
}

// knownSecret returns a key as Graph spells it.
func knownSecret(key string) (string, error) {
	i := slices.IndexFunc(secretKeys, func(k string) bool { return strings.EqualFold(k, key) })
	if i < 0 {
		return "", badRequest("The key '%s' is not one of synchronizationSecret: %s.", clip(key), strings.Join(secretKeys, ", "))
	}
	return secretKeys[i], nil
}

// keptValue checks a value and returns what is kept of it. Errors repeat nothing of a confidential one.
func keptValue(key, value string) (string, error) {
	if len(value) > mostSecretValue {
		return "", badRequest("The value of %s has %d bytes: at most %d are allowed.", key, len(value), mostSecretValue)
	}
	switch key {
	case provision.SecretNotifications:
		if _, err := provision.ParseNotifications(value); err != nil {
			return "", badRequest("The value of %s cannot be used: %s.", key, clipTo(err.Error(), 400))
		}
	case provision.SecretSkipOutOfScope:
		if !strings.EqualFold(value, "True") && !strings.EqualFold(value, "False") {
			return "", badRequest("The value of %s is '%s': it is True or False.", key, clip(value))
		}
	}
	if !slices.Contains(clearSecrets, key) {
		return "", nil
	}
	return value, nil
}
