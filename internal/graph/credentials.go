package graph

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"induct/internal/oauth"
)

const (
	mostPasswords = 50
	mostKeys      = 20
	usualLife     = 2 * 365 * 24 * time.Hour // of a secret whose end is not sent
	clockLeeway   = 5 * time.Minute          // for the clocks of clients that say when a secret begins
)

// latestEnd is when the last secret ends.
var latestEnd = time.Date(2299, 12, 31, 23, 59, 59, 0, time.UTC)

// passwordObject is Graph's passwordCredential, without the secret.
func passwordObject(s *oauth.Secret) object {
	return object{
		{"customKeyIdentifier", nil},
		{"displayName", orNull(s.DisplayName)},
		{"endDateTime", timeOrNull(s.Expires)},
		{"hint", orNull(s.Hint)},
		{"keyId", s.KeyID.String()},
		{"secretText", nil},
		{"startDateTime", timeOrNull(s.Created)},
	}
}

// sentPassword is a passwordCredential as a client writes it.
type sentPassword struct {
	DisplayName *string    `json:"displayName"`
	Start       *time.Time `json:"startDateTime"`
	End         *time.Time `json:"endDateTime"`
	KeyID       *uuid.UUID `json:"keyId"`
	Secret      *string    `json:"secretText"`
}

// addPassword makes a secret and shows it, this once (application: addPassword).
func (c *call) addPassword() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var sent struct {
		Credential sentPassword `json:"passwordCredential"`
	}
	if err := decodeDates(body, &sent); err != nil {
		return err
	}
	var shown object
	_, err = c.editClient("Add credentials to", func(a *oauth.Client) error {
		shown, err = c.newPassword(a, &sent.Credential)
		return err
	})
	if err != nil {
		return err
	}
	return c.entity("microsoft.graph.passwordCredential", shown)
}

// newPassword adds a secret to an app; what it returns holds it in clear.
func (c *call) newPassword(a *oauth.Client, sent *sentPassword) (object, error) {
	now := c.s.Now().UTC()
	start, end := now, now.Add(usualLife)
	if sent.Start != nil {
		start = sent.Start.UTC()
	}
	if sent.End != nil {
		end = sent.End.UTC()
	} else if sent.Start != nil {
		end = start.Add(usualLife)
	}
	name := ""
	if sent.DisplayName != nil {
		name = *sent.DisplayName
	}
	switch {
	case a.Managed:
		return nil, requestBad("A managed identity has no secrets: it gets its tokens where it runs.")
	case len(a.Secrets) >= mostPasswords:
		return nil, requestBad("The app has %d secrets, and %d are the most: remove one that is not used with removePassword.", len(a.Secrets), mostPasswords)
	case sent.Secret != nil && *sent.Secret != "":
		return nil, requestBad("Property 'secretText' is read-only: the secret is made here, and shown once in the answer.")
	case start.After(now.Add(clockLeeway)):
		return nil, requestBad("Credential start date is invalid: a secret is valid from now on. Leave startDateTime out, and add the secret when it is needed.")
	case !end.After(start) || !end.After(now) || end.After(latestEnd):
		return nil, requestBad("Credential end date is invalid: endDateTime is in the future, after startDateTime, and not after %s.", timestamp(latestEnd))
	case len(name) > mostAppName:
		return nil, requestBad("Property 'displayName' is invalid: it has %d bytes, and %d are the most.", len(name), mostAppName)
	}
	clear, secret := oauth.NewSecret(start, end.Sub(start))
	secret.DisplayName, secret.Expires = name, end
	a.Secrets = append(a.Secrets, secret)
	shown := passwordObject(&secret)
	for i := range shown {
		if shown[i].name == "secretText" {
			shown[i].value = clear
		}
	}
	return shown, nil
}

// newPasswords makes the secrets that a new application is sent with.
func (c *call) newPasswords(a *oauth.Client, sent json.RawMessage) (shown []object, err error) {
	if !present(sent) {
		return nil, nil
	}
	var list []sentPassword
	if err := decodeDates(sent, &list); err != nil {
		return nil, err
	}
	for i := range list {
		o, err := c.newPassword(a, &list[i])
		if err != nil {
			return nil, err
		}
		shown = append(shown, o)
	}
	return shown, nil
}

// keepPasswords removes the secrets that are not sent again. None is added this way: it could not be shown.
func keepPasswords(a *oauth.Client, sent json.RawMessage) error {
	var list []sentPassword
	if present(sent) {
		if err := decodeDates(sent, &list); err != nil {
			return err
		}
	}
	kept := []oauth.Secret{}
	for _, p := range list {
		i := -1
		if p.KeyID != nil {
			i = slices.IndexFunc(a.Secrets, func(s oauth.Secret) bool { return s.KeyID == *p.KeyID })
		}
		if i < 0 {
			return requestBad("Property 'passwordCredentials' is invalid: new secrets are made with addPassword, which shows them.")
		}
		kept = append(kept, a.Secrets[i])
	}
	a.Secrets = kept
	return nil
}

// removePassword removes a secret (application: removePassword). Tokens that were got with it last until they expire.
func (c *call) removePassword() error {
	body, err := c.jsonBody()
	if err != nil {
		return err
	}
	var sent struct {
		KeyID string `json:"keyId"`
	}
	if err := decode(body, &sent); err != nil {
		return err
	}
	id, err := uuid.Parse(sent.KeyID)
	if err != nil {
		return requestBad("Property 'keyId' is invalid: it is the GUID of a password credential.")
	}
	_, err = c.editClient("Remove credentials from", func(a *oauth.Client) error {
		before := len(a.Secrets)
		a.Secrets = slices.DeleteFunc(a.Secrets, func(s oauth.Secret) bool { return s.KeyID == id })
		if len(a.Secrets) == before {
			return requestBad("No password credential found with keyId '%s'.", id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.none(http.StatusNoContent)
}

// lackProof answers addKey and removeKey.
func (c *call) lackProof() error {
	if _, err := c.registered(); err != nil {
		return err
	}
	return notSupported("addKey and removeKey, which ask for a proof by an existing key, are not supported. Set the certificates with PATCH /applications/{id} and keyCredentials.")
}

// keyObjects are an app's keyCredentials; key, the certificate itself, is shown only if it was asked for.
func keyObjects(a *oauth.Client, shown bool) []object {
	return objects(a.Certificates, func(k *oauth.Certificate) object {
		thumbprint := k.SHA1()
		var key any
		if shown {
			key = base64.StdEncoding.EncodeToString(k.DER)
		}
		start := k.Created
		if cert, err := x509.ParseCertificate(k.DER); err == nil {
			start = cert.NotBefore
		}
		return object{
			{"customKeyIdentifier", base64.StdEncoding.EncodeToString(thumbprint[:])},
			{"displayName", orNull(k.DisplayName)},
			{"endDateTime", timeOrNull(k.Expires)},
			{"key", key},
			{"keyId", k.KeyID.String()},
			{"startDateTime", timeOrNull(start)},
			{"type", "AsymmetricX509Cert"},
			{"usage", "Verify"},
		}
	})
}

// sentKey is a keyCredential as a client writes it.
type sentKey struct {
	CustomKeyIdentifier *string    `json:"customKeyIdentifier"`
	DisplayName         *string    `json:"displayName"`
	End                 *time.Time `json:"endDateTime"`
	Key                 *string    `json:"key"`
	KeyID               *uuid.UUID `json:"keyId"`
	Start               *time.Time `json:"startDateTime"`
	Type                string     `json:"type"`
	Usage               string     `json:"usage"`
}

// setKeys replaces the certificates of an app. One that is sent without its key is the one it has already.
func (c *call) setKeys(a *oauth.Client, sent json.RawMessage) error {
	var list []sentKey
	if present(sent) {
		if err := decodeDates(sent, &list); err != nil {
			return err
		}
	}
	if len(list) > mostKeys {
		return requestBad("%d key credentials were sent, and %d are the most.", len(list), mostKeys)
	}
	certificates := make([]oauth.Certificate, 0, len(list))
	for i := range list {
		k, err := c.certificate(a, &list[i])
		if err != nil {
			return err
		}
		if slices.ContainsFunc(certificates, func(o oauth.Certificate) bool { return o.KeyID == k.KeyID }) {
			return requestBad("Property 'keyCredentials' is invalid: the keyId '%s' is sent twice.", k.KeyID)
		}
		certificates = append(certificates, k)
	}
	a.Certificates = certificates
	return nil
}

// certificate is what is kept of a keyCredential.
func (c *call) certificate(a *oauth.Client, sent *sentKey) (k oauth.Certificate, _ error) {
	i := slices.IndexFunc(a.Certificates, func(k oauth.Certificate) bool {
		thumbprint := k.SHA1()
		return sent.KeyID != nil && k.KeyID == *sent.KeyID ||
			sent.KeyID == nil && sent.CustomKeyIdentifier != nil && *sent.CustomKeyIdentifier == base64.StdEncoding.EncodeToString(thumbprint[:])
	})
	if i >= 0 {
		k = a.Certificates[i]
	}
	if sent.Key != nil && *sent.Key != "" {
		cert, err := oauth.ParseCertificate([]byte(*sent.Key))
		if err != nil {
			return k, requestBad("Key credential value is invalid: %s.", err)
		}
		k.DER = cert.Raw
	}
	cert, err := x509.ParseCertificate(k.DER)
	now := c.s.Now().UTC()
	switch {
	case err != nil:
		return k, requestBad("Property 'keyCredentials' is invalid: an entry has no key, and no keyId of a certificate that is there.")
	case sent.Type != "" && !strings.EqualFold(sent.Type, "AsymmetricX509Cert") || sent.Usage != "" && !strings.EqualFold(sent.Usage, "Verify"):
		return k, requestBad("Key credential type '%s' with usage '%s' is not supported: send AsymmetricX509Cert and Verify.", clip(sent.Type), clip(sent.Usage))
	case i < 0 && !cert.NotAfter.After(now):
		return k, requestBad("Key credential end date is invalid: the certificate ended at %s.", timestamp(cert.NotAfter))
	}
	if i < 0 {
		k.KeyID, k.Created, k.Expires = uuid.New(), now, cert.NotAfter.UTC()
		k.DisplayName = orDefault(cert.Subject.String(), "")
		if sent.KeyID != nil && *sent.KeyID != uuid.Nil {
			k.KeyID = *sent.KeyID
		}
	}
	if sent.DisplayName != nil {
		k.DisplayName = *sent.DisplayName
	}
	if len(k.DisplayName) > mostAppName {
		k.DisplayName = clipTo(k.DisplayName, mostAppName)
	}
	if sent.End != nil {
		if sent.End.After(cert.NotAfter.Add(time.Second)) || !sent.End.After(cert.NotBefore) {
			return k, requestBad("Key credential end date is invalid: the certificate ends at %s.", timestamp(cert.NotAfter))
		}
		k.Expires = sent.End.UTC()
	}
	return k, nil
}

// decodeDates is decode, and says what is wrong with a date or an id that cannot be read.
func decodeDates(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var wrong *time.ParseError
	if errors.As(err, &wrong) {
		return requestBad("'%s' is not a date and time: write it as 2026-08-20T17:56:15Z.", clip(strings.Trim(wrong.Value, `"`)))
	}
	if err != nil && uuidProblem(err) {
		return requestBad("Property 'keyId' is invalid: it is a GUID.")
	}
	return decode(body, v)
}

// uuidProblem reports whether reading failed at a GUID.
func uuidProblem(err error) bool {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	return !errors.As(err, &syntax) && !errors.As(err, &typ)
}
