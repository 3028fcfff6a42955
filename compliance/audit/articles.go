package audit

import (
	"slices"

	"github.com/passerelle-cloud/passerelle/compliance"
	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/compliance/dga"
	"github.com/passerelle-cloud/passerelle/compliance/psd2"
	"github.com/passerelle-cloud/passerelle/consent"
)

// applies reports whether a law binds an operator of these roles: the GDPR everybody, and what each role adds.
func applies(law string, roles []string) bool {
	switch law {
	case "DGA":
		return slices.Contains(roles, dga.Role)
	case "PSD2", "RTS 2018/389":
		return psd2.Applies(roles)
	case "Data Act":
		return dataact.Applies(roles)
	}
	return true
}

func says(en, fr string) map[string]string { return map[string]string{"en": en, "fr": fr} }

func article(law, number string, text map[string]string, how ...compliance.How) compliance.Article {
	return compliance.Article{Citation: consent.Citation{Law: law, Article: number}, Says: text, How: how}
}

// Articles returns the duties that this program has to do with, and how each is kept. The words are ours: the law is in the
// Official Journal.
func Articles() []compliance.Article {
	return slices.Concat(gdprArticles(), dgaArticles(), psd2Articles(), dataActArticles())
}

func gdprArticles() []compliance.Article {
	rule, check, report, test, people := compliance.ByRule, compliance.ByCheck, compliance.ByReport, compliance.ByTest, compliance.ByPeople
	list := []compliance.Article{
		article("GDPR", "5(1)(b)", says("Data are read for the purpose that the person agreed to, and for no other.", "Les données ne sont lues que dans le but que la personne a accepté."), rule, check),
		article("GDPR", "5(1)(c)", says("No more than is needed is asked for, and nothing outside of what was granted leaves.", "Rien de plus que le nécessaire n’est demandé, et rien ne sort de ce qui a été accordé."), rule, check),
		article("GDPR", "6(1)(a)", says("Nothing is read without a valid consent, nor after it has ended.", "Rien n’est lu sans consentement valide, ni après sa fin."), rule, check),
		article("GDPR", "7(1)", says("That a person consented can be demonstrated: what they were shown, when, in which language, and how they were known.", "On peut démontrer que la personne a consenti : ce qui lui a été montré, quand, dans quelle langue, et comment elle était connue."), rule, check),
		article("GDPR", "7(3)", says("To withdraw is as easy as to give, and takes effect at once.", "Retirer est aussi simple que donner, et prend effet aussitôt."), check, test),
		article("GDPR", "9(2)(a)", says("For health data the purpose is said explicitly.", "Pour les données de santé, le but est dit explicitement."), rule),
		article("GDPR", "12(3)", says("A person’s request is answered within a month; two more, where they are told why.", "Il est répondu à la demande d’une personne en un mois ; deux de plus si elle en connaît la raison."), check, people),
		article("GDPR", "13", says("Who asks, why, for how long, who else gets it, and where: all of it is said before.", "Qui demande, pourquoi, pour combien de temps, qui d’autre reçoit, et où : tout est dit avant."), rule, check),
		article("GDPR", "14", says("That holds also for who gets the data from here, and not from the person.", "Cela vaut aussi pour qui reçoit les données d’ici, et non de la personne."), rule, check),
		article("GDPR", "15", says("A person gets a copy of all that is kept of them: what they decided, who read what, their receipts, what the log says.", "La personne reçoit copie de tout ce qui est gardé d’elle : ce qu’elle a décidé, qui a lu quoi, ses reçus, ce que dit le journal."), test),
		article("GDPR", "17", says("A person can be forgotten: what opens their entries in the log is destroyed, and every proof still verifies.", "Une personne peut être oubliée : ce qui ouvre ses entrées du journal est détruit, et chaque preuve reste vérifiable."), test),
		article("GDPR", "17(3)", says("What proves a consent is kept only as long as a claim may be made.", "Ce qui prouve un consentement n’est gardé que tant qu’une réclamation reste possible."), test),
		article("GDPR", "19", says("Services are told that a consent has ended; those that do not answer are named.", "Les services apprennent qu’un consentement a pris fin ; ceux qui ne répondent pas sont nommés."), check, report),
		article("GDPR", "20", says("A person takes everything with them, in open formats, and straight to another operator.", "La personne emporte tout, en formats ouverts, et directement chez un autre opérateur."), test),
		article("GDPR", "25", says("Who has to check things sees pseudonyms and large numbers; who somebody is takes a reason, which is logged.", "Qui contrôle voit des pseudonymes et de grands nombres ; savoir qui est quelqu’un demande un motif, qui est consigné."), test),
		article("GDPR", "30", says("A record of what services do with data is kept, and can be printed.", "Un registre de ce que les services font des données est tenu, et s’imprime."), test, people),
		article("GDPR", "32", says("Data are encrypted on their way, and keys are kept apart from what they open.", "Les données circulent chiffrées, et les clés sont gardées à part de ce qu’elles ouvrent."), test, people),
		article("GDPR", "33", says("A breach is told to the supervisory authority within 72 hours.", "Une violation est notifiée à l’autorité de contrôle dans les 72 heures."), check, people),
		article("GDPR", "34", says("Persons whom a breach puts at a high risk are told without delay.", "Les personnes qu’une violation expose à un risque élevé en sont informées sans délai."), report, people),
		article("GDPR", "44", says("Countries outside of Europe are named, and nothing goes there that was not.", "Les pays hors d’Europe sont nommés, et rien n’y va qui ne l’ait été."), rule, report),
	}
	fill(list, map[string]filling{
		"5(1)(b)": {checks: []string{checkCovered, checkRules}, tests: []string{"compliance/gdpr.TestArticle5", "consent.TestAdmit"}},
		"5(1)(c)": {checks: []string{checkCovered, checkRules}, tests: []string{"compliance/gdpr.TestArticle5", "consent.TestAdmit"}},
		"6(1)(a)": {checks: []string{checkCovered, checkAfterEnd}, tests: []string{"compliance/gdpr.TestArticle6", "transfer/api.TestNoByteAfterAWithdrawal", "consent/receipt.TestTimeAloneEndsAConsent"}, where: "/desk/transfers"},
		"7(1)":    {checks: []string{checkProof, checkInLog}, tests: []string{"compliance/gdpr.TestArticle7", "consent.TestNoticeMustHaveBeenShown", "compliance/audit.TestEvidence"}, where: "/desk/questions"},
		"7(3)":    {checks: []string{checkAfterEnd, checkMeasured}, tests: []string{"cmd/passerelle.TestWalk", "consent.TestWithdrawnWhileOpen"}, where: "/desk/withdrawals"},
		"9(2)(a)": {tests: []string{"compliance/gdpr.TestArticle9"}},
		"12(3)":   {checks: []string{checkInTime}, tests: []string{"compliance/audit.TestArticle12_3Clock"}, where: "/desk/registers", why: says("What a person asks in a letter, people answer. The register keeps the clock.", "Ce qu’une personne demande par lettre, des humains y répondent. Le registre tient le délai.")},
		"13":      {checks: []string{checkInformed}, tests: []string{"consent.TestIncompleteService", "compliance/gdpr.TestArticle13"}},
		"14":      {checks: []string{checkInformed}, tests: []string{"compliance/gdpr.TestArticle13"}},
		"15":      {tests: []string{"consent.TestArticle15Kept", "cmd/passerelle.TestWalk"}},
		"17":      {tests: []string{"consent.TestArticle17Erase", "cmd/passerelle.TestErasure", "consent/ledger.TestNothingOfAPersonRemains", "consent/ledger.TestForget", "compliance/audit.TestEvidenceAfterErasure"}},
		"17(3)":   {tests: []string{"consent.TestArticle17EraseLater", "consent/ledger.TestWhatMustBeKeptIsNotForgotten"}},
		"19":      {checks: []string{checkTold}, tests: []string{"consent/events.TestArticle19Told", "consent/events.TestSilent"}, where: "/desk/withdrawals"},
		"20":      {tests: []string{"compliance/gdpr.TestArticle20", "cmd/passerelle.TestDemo", "transfer.TestTakeout"}},
		"25":      {tests: []string{"compliance/audit.TestPseudonyms", "compliance/audit.TestSmallNumbers"}},
		"30":      {tests: []string{"compliance/audit.TestArticle30Processing"}, why: says("What the operator does besides this program, people must add.", "Ce que l’opérateur fait en dehors de ce programme, des humains doivent l’ajouter.")},
		"32":      {tests: []string{"cmd/passerelle.TestArticle32ServeTLS", "operators/keys.TestSecretFilesAreTheirOwnersOnly", "operators/keys.TestVaultPolicyKeepsPrivateKeysIn"}, why: says("How disks are encrypted and rooms are locked is the operator’s to say.", "Le chiffrement des disques et la garde des locaux relèvent de l’opérateur.")},
		"33":      {checks: []string{checkInTime}, tests: []string{"compliance/audit.TestArticle33Clock"}, where: "/desk/registers", why: says("That a breach is one, people must see. The register keeps the clock.", "Qu’une violation en est une, des humains doivent le voir. Le registre tient le délai.")},
		"34":      {tests: []string{"compliance/audit.TestArticle33Clock"}, where: "/desk/registers", why: says("How high a risk is, and how whom it concerns is told, people must decide. The register shows what became of each breach.", "La hauteur du risque, et la manière d’informer, des humains doivent en décider. Le registre montre la suite de chaque violation.")},
		"44":      {tests: []string{"compliance/gdpr.TestArticle13", "compliance/dga.TestArticle12n"}, where: "/desk/registers"},
	}, "gdpr")
	return list
}

func dgaArticles() []compliance.Article {
	rule, check, report, test, people := compliance.ByRule, compliance.ByCheck, compliance.ByReport, compliance.ByTest, compliance.ByPeople
	list := []compliance.Article{
		article("DGA", "11(6)", says("The notification to the competent authority says who the operator is and what it does; this program writes it from the operator’s profile.", "La notification à l’autorité compétente dit qui est l’opérateur et ce qu’il fait ; ce programme l’écrit d’après le profil de l’opérateur."), test, check, people),
		article("DGA", "12(a)", says("Who intermediates uses the data for nothing else, and is a legal person of its own.", "L’intermédiaire n’utilise les données pour rien d’autre, et est une personne morale distincte."), rule, check),
		article("DGA", "12(b)", says("Terms do not depend on whether other services are used.", "Les conditions ne dépendent pas de l’usage d’autres services."), people),
		article("DGA", "12(c)", says("What is known of how the service is used serves the service only.", "Ce que l’on sait de l’usage du service ne sert qu’au service."), test, people),
		article("DGA", "12(d)", says("Data are given as they are kept; converted only where the service asks for an open standard and the person has not refused that; both hashes are logged.", "Les données sont données telles qu’elles sont gardées ; converties seulement si le service demande un standard ouvert et que la personne ne l’a pas refusé ; les deux empreintes sont consignées."), test),
		article("DGA", "12(e)", says("Other tools than exchanging work on data only where the person approved.", "D’autres outils que l’échange ne travaillent sur les données que si la personne l’a approuvé."), rule),
		article("DGA", "12(f)", says("Every service is treated alike; each refusal has a reason, and is counted.", "Tous les services sont traités de même ; chaque refus a un motif, et est compté."), report, people),
		article("DGA", "12(g)", says("A service that abuses is stopped at once, with a reason.", "Un service qui abuse est arrêté aussitôt, avec un motif."), report, test),
		article("DGA", "12(h)", says("Should the operator fail, persons get their data from an archive alone.", "Si l’opérateur défaille, les personnes retrouvent leurs données par une archive seule."), test, people),
		article("DGA", "12(i)", says("Open standards let other intermediaries take over.", "Des standards ouverts permettent à d’autres intermédiaires de prendre le relais."), test),
		article("DGA", "12(j)", says("Unlawful access, also from third countries, is prevented.", "L’accès illicite, y compris depuis des pays tiers, est empêché."), report, people),
		article("DGA", "12(k)", says("Whose data were used without right is told without delay.", "Celui dont les données ont été utilisées sans droit en est informé sans délai."), check, people),
		article("DGA", "12(l)", says("Data are kept and carried securely.", "Les données sont gardées et transmises en sécurité."), test, people),
		article("DGA", "12(m)", says("Before a person decides they are informed and advised.", "Avant de décider, la personne est informée et conseillée."), rule, check),
		article("DGA", "12(n)", says("Third countries are named; to withdraw is no harder than to give.", "Les pays tiers sont nommés ; retirer n’est pas plus difficile que donner."), rule, check),
		article("DGA", "12(o)", says("The intermediation is logged.", "L’intermédiation est consignée."), check, test),
		article("DGA", "14(3)", says("An authority’s findings are answered within 30 days.", "Il est répondu aux constats d’une autorité en 30 jours."), check, people),
	}
	const law = "/desk/registers"
	fill(list, map[string]filling{
		"11(6)": {checks: []string{checkInTime}, tests: []string{"compliance/audit.TestArticle11Notification", "compliance/audit.TestDGAArticle11Clocks"}, why: says("It is people who send it, and who own the company.", "Ce sont des humains qui l’envoient, et qui possèdent la société.")},
		"12(a)": {checks: []string{checkNeutral}, tests: []string{"compliance/dga.TestArticle12a"}},
		"12(b)": {why: says("This program sells nothing and has no prices. What contracts say, people must read.", "Ce programme ne vend rien et n’a pas de tarifs. Les contrats, des humains doivent les lire.")},
		"12(c)": {tests: []string{"consent/oauth.TestArticle12cSubjects"}, why: says("This program measures no use of persons: its figures name neither persons nor addresses. What operators add, people must look at.", "Ce programme ne mesure pas l’usage des personnes : ses chiffres ne nomment ni personnes ni adresses. Ce qu’un opérateur y ajoute, des humains doivent le regarder.")},
		"12(d)": {tests: []string{"transfer/api.TestArticle12dConversions", "transfer/api.TestPagesAndForms"}},
		"12(e)": {tests: []string{"compliance/dga.TestArticle12e"}},
		"12(f)": {tests: []string{"consent.TestArticle12fRefusalsAreCounted"}, where: law, why: says("Whether criteria are fair, people must judge.", "L’équité des critères, des humains doivent en juger.")},
		"12(g)": {tests: []string{"consent.TestArticle12gSuspensionStopsAtOnce"}, where: law},
		"12(h)": {tests: []string{"cmd/passerelle.TestDGAArticle12hOperatorGone", "cmd/passerelle.TestOpenFilesAndBack"}, why: says("That somebody runs the last export is for the operator’s continuity plan.", "Que quelqu’un lance le dernier export relève du plan de continuité de l’opérateur.")},
		"12(i)": {tests: []string{"cmd/passerelle.TestDemo", "cmd/passerelle.TestDGAArticle12hOperatorGone", "operators/cozy.TestDGAArticle12iTargetConformance"}},
		"12(j)": {tests: []string{"compliance/audit.TestDGAArticle12jThirdCountries"}, where: law, why: says("Contracts with hosts, and orders of foreign courts, are not a program’s.", "Les contrats d’hébergement et les injonctions étrangères ne relèvent pas d’un programme.")},
		"12(k)": {checks: []string{checkInTime}, tests: []string{"compliance/audit.TestDGAArticle12kClock"}, where: law, why: says("That a use was without right, people must see. The register keeps the clock.", "Qu’un usage est sans droit, des humains doivent le voir. Le registre tient le délai.")},
		"12(l)": {tests: []string{"cmd/passerelle.TestArticle32ServeTLS", "operators/keys.TestSecretFilesAreTheirOwnersOnly"}, why: says("As for GDPR art. 32.", "Comme pour l’article 32 du RGPD.")},
		"12(m)": {checks: []string{checkProof}, tests: []string{"compliance/dga.TestArticle12m", "consent/web.TestDecide"}},
		"12(n)": {checks: []string{checkInformed}, tests: []string{"compliance/dga.TestArticle12n", "cmd/passerelle.TestWalk"}},
		"12(o)": {checks: []string{checkInLog}, tests: []string{"consent/ledger.TestDGAArticle12oARealLedgerVerifies", "consent/ledger.TestTilesOverHTTP"}, where: "/desk/conduct"},
		"14(3)": {checks: []string{checkInTime}, tests: []string{"compliance/audit.TestDGAArticle14_3Clock"}, where: law, why: says("What is answered, people write. The register keeps the clock.", "La réponse, des humains l’écrivent. Le registre tient le délai.")},
	}, "dga")
	return list
}

func psd2Articles() []compliance.Article {
	const rts = "RTS 2018/389"
	rule, check, report, test, people := compliance.ByRule, compliance.ByCheck, compliance.ByReport, compliance.ByTest, compliance.ByPeople
	list := []compliance.Article{
		article("PSD2", "67(2)(a)", says("Account information is given with the person’s explicit consent; where this operator reads at a bank, that is looked at each time. It is contractual: the record does not call it a consent of the GDPR unless it is asked for as one.", "Les informations sur les comptes sont données avec le consentement explicite de la personne ; quand cet opérateur lit auprès d’une banque, c’est vérifié à chaque fois. Il est contractuel : le relevé ne l’appelle consentement au sens du RGPD que s’il est demandé comme tel."), rule, check, test),
		article("PSD2", "67(2)(b)", says("No service ever sees the person’s credentials.", "Aucun service ne voit jamais les identifiants de la personne."), test),
		article("PSD2", "67(2)(d)", says("Only designated accounts are read.", "Seuls les comptes désignés sont lus."), rule, check),
		article("PSD2", "67(2)(e)", says("No sensitive payment data: card numbers are hidden, documents as their origin kept them stay here, and it is counted.", "Pas de données de paiement sensibles : les numéros de carte sont masqués, les documents d’origine restent ici, et c’est compté."), rule, test),
		article("PSD2", "67(2)(f)", says("No other purpose than the one that was agreed.", "Aucun autre but que celui qui a été accepté."), check, people),
		article("PSD2", "97(1)(a)", says("Who opens their accounts to somebody has just authenticated strongly.", "Qui ouvre ses comptes à quelqu’un vient de s’authentifier fortement."), rule),
		article(rts, "10a(1)(b)", says("Without new strong authentication: the balance, and the transactions of the last 90 days.", "Sans nouvelle authentification forte : le solde, et les opérations des 90 derniers jours."), rule, test),
		article(rts, "10a(2)", says("Strong authentication comes first, and is renewed after 180 days at the latest.", "L’authentification forte vient d’abord, et est renouvelée au plus tard après 180 jours."), rule, test),
		article(rts, "29", says("Each run of accesses has an identifier, and all of it is logged with the time.", "Chaque suite d’accès a un identifiant, et tout est consigné avec l’heure."), test, check),
		article(rts, "34", says("A service identifies itself by a qualified certificate that names its role and its authorisation.", "Un service s’identifie par un certificat qualifié qui nomme son rôle et son agrément."), rule, test),
		article(rts, "36(5)(a)", says("What the person asks for just then does not count; where this operator reads at a bank, only with the address and the time of what they asked.", "Ce que la personne demande à l’instant ne compte pas ; quand cet opérateur lit auprès d’une banque, seulement avec l’adresse et l’heure de sa demande."), rule, test),
		article(rts, "36(5)(b)", says("What nobody asked for just then is read four times in 24 hours at the most; more often where the bank and the service agreed, and the person did.", "Ce que personne ne demande à l’instant est lu au plus quatre fois en 24 heures ; davantage si la banque et le service en sont convenus, et la personne aussi."), rule, test),
		article(rts, "33", says("What replaces the interface when it fails is agreed with the authority.", "Ce qui remplace l’interface en cas de panne est convenu avec l’autorité."), people, report),
	}
	fill(list, map[string]filling{
		"67(2)(a)":  {checks: []string{checkProof}, tests: []string{"consent/receipt.TestLegalBasis", "compliance/psd2.TestArticle67Retrieving"}},
		"67(2)(b)":  {tests: []string{"consent/oauth.TestFlow"}},
		"67(2)(d)":  {checks: []string{checkCovered}, tests: []string{"compliance/psd2.TestArticle67", "compliance/psd2.TestArticle67Retrieving"}},
		"67(2)(e)":  {tests: []string{"compliance/psd2.TestArticle67", "compliance/psd2.TestArticle67Retrieving", "consent.TestWithheld", "consent.TestArticle67AtTheBank"}},
		"67(2)(f)":  {checks: []string{checkCovered}, why: says("What a service does with what it has read, no program here can see.", "Ce qu’un service fait de ce qu’il a lu, aucun programme ne peut le voir ici.")},
		"97(1)(a)":  {tests: []string{"compliance/psd2.TestArticle97"}},
		"10a(1)(b)": {tests: []string{"compliance/psd2.TestRTS10a1b", "compliance/psd2.TestRTS10a1bRetrieving", "consent.TestWithheld"}},
		"10a(2)":    {tests: []string{"compliance/psd2.TestRTS10a2", "compliance/psd2.TestRTS10a2Retrieving", "consent.TestRenewedAfter180Days", "consent.TestRTS10a2AtTheBank"}},
		"29":        {checks: []string{checkCovered}, tests: []string{"consent.TestFourTimesADay", "consent.TestRTS29AtTheBank"}},
		"34":        {tests: []string{"compliance/psd2.TestRTS34", "compliance/psd2.TestCertificates", "compliance/psd2.TestRTS34Forged", "cmd/passerelle.TestPaymentServices"}},
		"36(5)(a)":  {tests: []string{"transfer/api.TestRTS36Present", "compliance/psd2.TestRTS36Retrieving"}},
		"36(5)(b)":  {tests: []string{"compliance/psd2.TestRTS36", "compliance/psd2.TestRTS36Retrieving", "consent.TestFourTimesADay", "consent.TestFourTimesADayUnderAnotherName", "consent.TestRTS36Agreed", "consent.TestRTS36AtTheBank"}},
		"33":        {where: "/metrics", why: says("A contingency, and the authority’s exemption from it, are agreed on paper. Availability is measured.", "Un mécanisme de secours, et l’exemption de l’autorité, se conviennent sur papier. La disponibilité est mesurée.")},
	}, "psd2")
	return list
}

// filling is what an article has besides its words.
type filling struct {
	checks, tests []string
	where         string
	why           map[string]string
}

func fill(list []compliance.Article, with map[string]filling, pack string) {
	for i := range list {
		a := &list[i]
		f := with[a.Article]
		a.Checks, a.Tests, a.Where, a.Why = f.checks, f.tests, f.where, f.why
		if slices.Contains(a.How, compliance.ByRule) {
			a.Pack = pack
		}
	}
}
