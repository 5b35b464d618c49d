// Whole dialogues as real servers hold them.
#include <string>
#include <vector>

#include "conversation.hpp"
#include "support/catch.hpp"

using namespace popbridge;
using namespace popbridge::imap;
using namespace popbridge::imap::test;

namespace {

using Events = std::vector<std::string>;

const Action kLogIn = [](ClientSession& session) {
  session.log_in("alice", Secret(std::string_view("secret")));
};
const Action kSelectAndList = [](ClientSession& session) {
  session.select("INBOX");
  session.uid_fetch_index("1:*");
};
const Action kFetch = [](ClientSession& session) { session.uid_fetch_message("6"); };
const Action kDelete = [](ClientSession& session) {
  session.uid_store("2", StoreAction::kAdd, kDeletedFlag);
  session.uid_expunge("2");
};

}  // namespace

TEST_CASE("Dovecot: login, listing, retrieval, deletion") {
  const Outcome outcome = converse(
      {std::string("* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ "
                   "AUTH=PLAIN] Dovecot (Debian) ready.\r\n"),
       kLogIn, std::string("* CAPABILITY IMAP4rev1 UIDPLUS ESEARCH MOVE\r\nkq1 OK Logged in\r\n"),
       kSelectAndList,
       std::string("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
                   "* OK [PERMANENTFLAGS (\\Answered \\Seen \\*)] Flags permitted.\r\n"
                   "* 2 EXISTS\r\n* 2 RECENT\r\n* OK [UNSEEN 1] First unseen.\r\n"
                   "* OK [UIDVALIDITY 1795384183] UIDs valid\r\n"
                   "* OK [UIDNEXT 10] Predicted next UID\r\n"
                   "kq2 OK [READ-WRITE] Select completed (0.001 + 0.000 secs).\r\n"
                   "* 1 FETCH (UID 6 RFC822.SIZE 17 FLAGS (\\Seen))\r\n"
                   "* 2 FETCH (UID 9 RFC822.SIZE 18 FLAGS ())\r\n"
                   "kq3 OK Fetch completed.\r\n"),
       kFetch,
       std::string("* 1 FETCH (UID 6 BODY[] {17}\r\nSubject: x\r\n\r\n.\r\n)\r\n"
                   "kq4 OK Fetch completed.\r\n"),
       kDelete,
       std::string("* 2 FETCH (UID 2 MODSEQ (11))\r\nkq5 OK Store completed\r\n* 2 EXPUNGE\r\n"
                   "* 8 RECENT\r\nkq6 OK Expunge completed\r\n")});
  CHECK(outcome.sent ==
        "kq1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\nkq2 SELECT INBOX\r\n"
        "kq3 UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\nkq4 UID FETCH 6 (UID BODY.PEEK[])\r\n"
        "kq5 UID STORE 2 +FLAGS.SILENT (\\Deleted)\r\nkq6 UID EXPUNGE 2\r\n");
  CHECK(outcome.events ==
        Events{"greeted Dovecot (Debian) ready.",
               "completed 1 OK Logged in",
               "notice OK <PERMANENTFLAGS (\\Answered \\Seen \\*)> Flags permitted.",
               "exists 2",
               "notice OK <UNSEEN 1> other First unseen.",
               "notice OK <UIDVALIDITY 1795384183> 1795384183 UIDs valid",
               "notice OK <UIDNEXT 10> 10 Predicted next UID",
               "completed 2 OK <READ-WRITE> Select completed (0.001 + 0.000 secs).",
               "info 1 uid 6 size 17 -deleted seen",
               "info 2 uid 9 size 18 -deleted -seen",
               "completed 3 OK Fetch completed.",
               "begin 1 uid 6 full 17",
               "chunk Subject: x\r\n\r\n.\r\n",
               "end",
               "info 1 uid 6",
               "completed 4 OK Fetch completed.",
               "info 2 uid 2",
               "completed 5 OK Store completed",
               "expunged 2",
               "completed 6 OK Expunge completed"});
}

TEST_CASE("Cyrus: capabilities in the answer to the login, repeated SELECT, FLAGS before UID") {
  const Outcome outcome = converse(
      {std::string("* OK [CAPABILITY IMAP4rev1 LITERAL+ ID ENABLE AUTH=PLAIN SASL-IR] localhost "
                   "Cyrus IMAP 3.6.1 server ready\r\n"),
       kLogIn,
       std::string("kq1 OK [CAPABILITY IMAP4rev1 UIDPLUS LOGINDISABLED] User logged in "
                   "SESSIONID=<cyrus-1>\r\n"),
       kSelectAndList,
       std::string("* OK [CLOSED] Ok\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n"
                   "* OK [UIDVALIDITY 1795383264] Ok\r\n* OK [HIGHESTMODSEQ 12] Ok\r\n"
                   "* OK [MAILBOXID (abc)] Ok\r\n* OK [URLMECH INTERNAL] Ok\r\n"
                   "kq2 OK [READ-WRITE] Completed\r\n"
                   "* 1 FETCH (FLAGS (\\Recent \\Deleted) UID 2 RFC822.SIZE 5)\r\n"
                   "kq3 OK Completed (0.000 sec)\r\n"),
       kDelete,
       std::string("* 2 FETCH (FLAGS (\\Recent \\Deleted) UID 2 MODSEQ (9))\r\nkq4 OK Completed\r\n"
                   "* 2 EXPUNGE\r\nkq5 OK [HIGHESTMODSEQ 12] Completed\r\n")});
  CHECK(outcome.events ==
        Events{"greeted localhost Cyrus IMAP 3.6.1 server ready",
               "completed 1 OK <CAPABILITY IMAP4rev1 UIDPLUS LOGINDISABLED> User logged in "
               "SESSIONID=<cyrus-1>",
               "notice OK <CLOSED> Ok", "exists 1",
               "notice OK <UIDVALIDITY 1795383264> 1795383264 Ok",
               "notice OK <HIGHESTMODSEQ 12> 12 Ok", "notice OK <MAILBOXID (abc)> other Ok",
               "notice OK <URLMECH INTERNAL> other Ok", "completed 2 OK <READ-WRITE> Completed",
               "info 1 uid 2 size 5 deleted -seen", "completed 3 OK Completed (0.000 sec)",
               "info 2 uid 2 deleted -seen", "completed 4 OK Completed", "expunged 2",
               "completed 5 OK <HIGHESTMODSEQ 12> 12 Completed"});
}

TEST_CASE("Courier: LOGIN, no UIDNEXT, EXISTS behind EXPUNGE") {
  const Outcome outcome = converse(
      {std::string("* OK [CAPABILITY IMAP4rev1 UIDPLUS CHILDREN NAMESPACE ENABLE UTF8=ACCEPT] "
                   "Courier-IMAP ready. Copyright 1998-2019\r\n"),
       kLogIn, std::string("kq1 OK LOGIN Ok.\r\n"), kSelectAndList,
       std::string("* FLAGS (\\Draft \\Seen \\Recent)\r\n"
                   "* OK [PERMANENTFLAGS (\\* \\Draft \\Seen)] Limited\r\n* 1 EXISTS\r\n"
                   "* 0 RECENT\r\n* OK [UIDVALIDITY 795383891] Ok\r\n"
                   "* OK [MYRIGHTS \"acdilrsw\"] ACL\r\nkq2 OK [READ-WRITE] Ok\r\n"
                   "* 1 FETCH (UID 2 RFC822.SIZE 129 FLAGS (\\Seen))\r\n"
                   "kq3 OK FETCH completed.\r\n"),
       kDelete,
       std::string("kq4 OK STORE completed.\r\n* 2 EXPUNGE\r\n* 9 EXISTS\r\n* 0 RECENT\r\n"
                   "kq5 OK EXPUNGE completed\r\n")});
  CHECK(outcome.sent.starts_with("kq1 LOGIN \"alice\" \"secret\"\r\nkq2 SELECT INBOX\r\n"));
  CHECK(outcome.events ==
        Events{"greeted Courier-IMAP ready. Copyright 1998-2019", "completed 1 OK LOGIN Ok.",
               "notice OK <PERMANENTFLAGS (\\* \\Draft \\Seen)> Limited", "exists 1",
               "notice OK <UIDVALIDITY 795383891> 795383891 Ok",
               "notice OK <MYRIGHTS \"acdilrsw\"> other ACL", "completed 2 OK <READ-WRITE> Ok",
               "info 1 uid 2 size 129 -deleted seen", "completed 3 OK FETCH completed.",
               "completed 4 OK STORE completed.", "expunged 2", "exists 9",
               "completed 5 OK EXPUNGE completed"});
}

TEST_CASE("hoodiecrow: the UID last, item names as asked, two answers for one error") {
  CHECK(events_of("* 1 FETCH (BODY[] {3}\r\nabc UID 1)\r\n* 1 FETCH (uid 1 flags (\\Seen))\r\n"
                  "* 1 FETCH (BODY[TEXT]<0.20> {2}\r\nab UID 1)\r\n* BAD x\r\nkq1 BAD x\r\n") ==
        Events{"begin 1 full 3", "chunk abc", "end", "info 1 uid 1", "info 1 uid 1 -deleted seen",
               "begin 1 text 2", "chunk ab", "end", "info 1 uid 1", "notice BAD x",
               "completed 1 BAD x"});
}

TEST_CASE("Exchange: a bare error line, throttling and the farewell") {
  CHECK(events_of("Server Unavailable. 15\r\n* [COPYUID 1 2 3]\r\n"
                  "kq1 BAD User is authenticated but not connected.\r\n"
                  "* BYE Connection closed. 14\r\n") ==
        Events{"notice OK <COPYUID 1 2 3> other",
               "completed 1 BAD User is authenticated but not connected.",
               "bye Connection closed. 14"});
}

TEST_CASE("Xeams: items on a line of their own behind the closed FETCH are passed over") {
  CHECK(events_of("* 1 FETCH (BODY[] {3}\r\nabc)\r\n UID 1 FLAGS (\\Seen))\r\nkq1 OK\r\n") ==
        Events{"begin 1 full 3", "chunk abc", "end", "info 1", "completed 1 OK"});
}
