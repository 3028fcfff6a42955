package audit

import "github.com/passerelle-cloud/passerelle/compliance"

func dataActArticles() []compliance.Article {
	const law = "Data Act"
	rule, check, report, test, people := compliance.ByRule, compliance.ByCheck, compliance.ByReport, compliance.ByTest, compliance.ByPeople
	list := []compliance.Article{
		article(law, "25(2)(a)", says("A move to another operator is over 30 days after the person’s yes.", "Un déménagement vers un autre opérateur est fini 30 jours après le oui de la personne."), rule, check, report),
		article(law, "25(2)(d)", says("Nobody waits for longer than two months until their move begins; here it begins when they say so.", "Personne n’attend plus de deux mois le début de son déménagement ; ici, il commence quand elle le dit."), rule, test),
		article(law, "25(2)(e)", says("It is said exhaustively what can be taken along.", "Il est dit de façon exhaustive ce qui peut être emporté."), report, test),
		article(law, "25(2)(g)", says("After a move the person can come back for their data for 30 days or more.", "Après un déménagement, la personne peut revenir chercher ses données pendant 30 jours au moins."), rule, check, test),
		article(law, "25(2)(h)", says("Then they are erased, with a signed certificate.", "Puis elles sont effacées, avec un certificat signé."), rule, check),
		article(law, "25(3)(a)", says("The person says to which operator they move.", "La personne dit vers quel opérateur elle déménage."), rule),
		article(law, "25(4)", says("Where 30 days are technically unfeasible, the person is told why within 14 working days.", "Si 30 jours sont techniquement impossibles, la personne apprend pourquoi en 14 jours ouvrables."), people),
		article(law, "25(5)", says("The person may take more time for the move.", "La personne peut prendre plus de temps pour déménager."), test),
		article(law, "26", says("Formats, structures, interfaces and limits are public, and up to date.", "Formats, structures, interfaces et limites sont publics, et à jour."), report, test),
		article(law, "28", says("It is published under which jurisdiction the machines are, and what keeps foreign authorities out.", "Il est publié de quelle juridiction relèvent les machines, et ce qui tient à distance les autorités étrangères."), people),
		article(law, "29", says("Moving costs nothing; before 12 January 2027 no more than it costs the operator.", "Déménager ne coûte rien ; avant le 12 janvier 2027, pas plus que ce que cela coûte à l’opérateur."), rule),
		article(law, "30", says("Open interfaces are there for everybody without charge, and data come in formats that machines read.", "Des interfaces ouvertes sont offertes à tous sans frais, et les données viennent dans des formats lisibles par des machines."), report, test),
	}
	const pack, desk, register = "compliance/dataact.TestDataActArticle", "/desk/registers", "/formats"
	fill(list, map[string]filling{
		"25(2)(a)": {checks: []string{checkMoved}, tests: []string{pack + "25_2a", "consent.TestDataActArticle25Authorised", "compliance/audit.TestDataActArticle25Checks"}, where: desk},
		"25(2)(d)": {tests: []string{pack + "25_2d"}},
		"25(2)(e)": {tests: []string{"cmd/passerelle.TestDataActArticle26True"}, where: register},
		"25(2)(g)": {checks: []string{checkKept}, tests: []string{pack + "25_2g", "cmd/passerelle.TestDataActArticle25_2gTerms", "cmd/passerelle.TestDataActArticle25_2gKept", "cmd/passerelle.TestDataActArticle25_2gCalendarDays", "compliance/audit.TestDataActArticle25Checks"}},
		"25(2)(h)": {checks: []string{checkErased}, tests: []string{pack + "25_2h", "compliance/audit.TestDataActArticle25Checks"}},
		"25(3)(a)": {tests: []string{pack + "25_3a"}},
		"25(4)":    {why: says("Nothing in this program makes a move take longer. Where something else does, people must say so; the register of requests keeps a clock.", "Rien dans ce programme n’allonge un déménagement. Si autre chose le fait, des humains doivent le dire ; le registre des demandes tient un délai.")},
		"25(5)":    {tests: []string{pack + "25_5", "consent.TestDataActArticle25Authorised"}},
		"26":       {tests: []string{"cmd/passerelle.TestDataActArticle26Register", "cmd/passerelle.TestDataActArticle26True", "cmd/passerelle.TestDataActArticle26Interfaces"}, where: register},
		"28":       {why: says("Where the machines are, and what contracts with hosts say, is the operator’s to publish: a legal text of its brand is the place.", "Où sont les machines, et ce que disent les contrats d’hébergement, c’est à l’opérateur de le publier : un texte légal de sa marque en est le lieu.")},
		"29":       {tests: []string{pack + "29"}},
		"30":       {tests: []string{"cmd/passerelle.TestDataActArticle26Register", "cmd/passerelle.TestDataActArticle26True"}, where: register},
	}, "dataact")
	return list
}
