package mapping

import "strconv"

// Ids in the default schema of API2AD. They never change: clients remember them.
const (
	onPremisesRuleID   = "6a1d7c95-20b3-4f7e-8b44-9e0f5c2a71d8"
	onPremisesSourceID = "c40b6f3e-9d15-4a82-b0c7-31f8e6ad5297"
	onPremisesTargetID = "0d7e92b8-5f46-4c1a-9a3b-e84d16c7f05a"
)

// sAMAccountNameOf is a logon name as Active Directory takes it: the local part of userName without the characters that
// are forbidden in it, at most 20 long, and without points at its end (Microsoft Learn, "Tutorial: Configure Workday for
// automatic user provisioning").
const sAMAccountNameOf = `Replace(Mid(Replace(` + userNameLocalPart + `, , "[/\\\\\\[\\]:;|=,+*?<>]", , "", , ), 1, 20), , "\\.+$", , "", , )`

// onPremisesTemplate is API2AD: people into Active Directory, through an agent.
func onPremisesTemplate(id string) *Schema {
	return &Schema{
		ID:      id,
		Version: "v1",
		Rules: []Rule{{
			ID:                  onPremisesRuleID,
			Name:                "USER_INBOUND_USER",
			Priority:            1,
			Editable:            true,
			SourceDirectoryName: "API",
			TargetDirectoryName: "Active Directory",
			ObjectMappings: []ObjectMapping{{
				Name:              "Provision API urn:ietf:params:scim:schemas:extension:enterprise:2.0:Users",
				Enabled:           true,
				FlowTypes:         FlowTypes{Add: true, Update: true, Delete: true},
				SourceObjectName:  "User",
				TargetObjectName:  "User",
				AttributeMappings: onPremisesMappings(),
			}},
		}},
		Directories: []Directory{
			{ID: onPremisesSourceID, Name: "API", Version: "v1", Objects: []Object{{Name: "User", Attributes: sourceAttributes()}}},
			{ID: onPremisesTargetID, Name: "Active Directory", Version: "v1", ReadOnly: true, Objects: []Object{{Name: "User", Attributes: onPremisesAttributes()}}},
		},
	}
}

// onPremisesMappings are the rows of API2AD. Microsoft publishes no such table; each row says where it comes from.
// There is none for parentDistinguishedName: a new account stands in the container that the job is given, and a row for it
// would place and move people. There is none for a password either: the agent makes a random one.
func onPremisesMappings() []AttributeMapping {
	return []AttributeMapping{
		// Documented: "API-driven inbound provisioning concepts". The directory takes 16 characters.
		match(always("employeeID", "[externalId]")),
		// Documented as the standard mapping, in Microsoft's answers about account status.
		always("accountDisabled", "Not([active])"),
		// As the Workday application.
		onCreate(always("cn", "[displayName]")),
		onCreate(always("sAMAccountName", sAMAccountNameOf)),
		// The expression is documented for this application, when it is applied is not; on create, as the Workday application.
		onCreate(always("userPrincipalName", `Join("", `+userNameLocalPart+`, "@", DefaultDomain())`)),
		// As the Workday application.
		always("displayName", "[displayName]"),
		always("givenName", "[name.givenName]"),
		always("sn", "[name.familyName]"),
		always("title", "[title]"),
		// Documented: "Clear attribute values" and "HR manager update issues".
		always("department", "["+enterprise+"department]"),
		always("manager", "["+enterprise+"manager]"),
		// The Oracle HCM tutorial.
		always("company", "["+enterprise+"organization]"),
		always("division", "["+enterprise+"division]"),
		always("streetAddress", `[addresses[type eq "work"].streetAddress]`),
		always("l", `[addresses[type eq "work"].locality]`),
		always("st", `[addresses[type eq "work"].region]`),
		always("postalCode", `[addresses[type eq "work"].postalCode]`),
		always("co", `[addresses[type eq "work"].country]`),
		always("physicalDeliveryOfficeName", `[addresses[type eq "work"].formatted]`),
		always("telephoneNumber", `[phoneNumbers[type eq "work"].value]`),
		always("mobile", `[phoneNumbers[type eq "mobile"].value]`),
		always("mail", `[emails[type eq "work"].value]`),
		always("preferredLanguage", "[preferredLanguage]"),
	}
}

// onPremisesAttributes lists the user of Active Directory: the attributes that people are given, with the greatest lengths
// (rangeUpper) of the Active Directory schema, which Microsoft publishes as [MS-ADA1] to [MS-ADA3]. sAMAccountName is bounded
// for users by [MS-SAMR]. An agent that reads a domain's own schema knows more.
func onPremisesAttributes() []Attribute {
	text := func(name string, max int) Attribute {
		return Attribute{Name: name, Type: "String", CaseExact: true, MaxLength: max}
	}
	folded := func(name string, max int) Attribute { return Attribute{Name: name, Type: "String", MaxLength: max} }
	list := func(name string, max int) Attribute {
		return Attribute{Name: name, Type: "String", MultiValued: true, MaxLength: max}
	}
	attrs := []Attribute{
		{Name: "objectGUID", Type: "String", Anchor: true, Mutability: "ReadOnly"},
		{Name: "distinguishedName", Type: "String", Mutability: "ReadOnly"},
		{Name: "accountDisabled", Type: "Boolean"}, // a bit of userAccountControl
		{Name: "accountExpires", Type: "Integer"},  // 100 ns since 1601
		{Name: "c", Type: "String", MaxLength: 3},
		{Name: "cn", Type: "String", Required: true, CaseExact: true, MaxLength: 64},
		text("co", 128), text("comment", 0), text("company", 64), text("department", 64), text("description", 1024), text("displayName", 256),
		text("division", 256), folded("employeeID", 16), folded("employeeNumber", 512), text("employeeType", 256),
	}
	for i := 1; i <= 15; i++ {
		attrs = append(attrs, text("extensionAttribute"+strconv.Itoa(i), 1024))
	}
	attrs = append(attrs,
		text("facsimileTelephoneNumber", 64), text("generationQualifier", 64), text("givenName", 64), text("homePhone", 64), text("info", 1024),
		text("initials", 6), text("ipPhone", 64), text("l", 128), folded("mail", 256), folded("mailNickname", 64),
		Attribute{Name: "manager", Type: "Reference", References: "User"},
		text("middleName", 64), text("mobile", 64),
		Attribute{Name: "msExchHideFromAddressLists", Type: "Boolean"},
	)
	for i := 1; i <= 20; i++ {
		attrs = append(attrs, text("msDS-cloudExtensionAttribute"+strconv.Itoa(i), 1024))
	}
	return append(attrs,
		list("otherMobile", 64), list("otherTelephone", 64), text("pager", 64),
		folded("parentDistinguishedName", 0), // where the account stands
		text("personalTitle", 64), text("physicalDeliveryOfficeName", 128), text("postalCode", 40), text("postOfficeBox", 40),
		folded("preferredLanguage", 0), list("proxyAddresses", 1123), text("roomNumber", 0),
		Attribute{Name: "sAMAccountName", Type: "String", Required: true, MaxLength: 20},
		text("sn", 64), text("st", 128), text("streetAddress", 1024), text("telephoneNumber", 64), text("title", 128),
		Attribute{Name: "unicodePwd", Type: "String", CaseExact: true, Mutability: "WriteOnly", MaxLength: 256},
		Attribute{Name: "userPrincipalName", Type: "String", Required: true, MaxLength: 1024},
		list("url", 0), text("wWWHomePage", 2048),
	)
}
