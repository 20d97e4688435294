package oauth_test

import (
	"crypto/x509"
	"testing"

	"induct/internal/oauth"
	"induct/internal/oauth/oauthtest"
)

func TestMemoryStore(t *testing.T) {
	oauthtest.TestStore(t, func() oauth.Store { return oauthtest.NewStore() })
}

func parseKey(der []byte) (any, error) { return x509.ParsePKCS8PrivateKey(der) }
