// Transcripts: conversations of both sides as text files, played against the bridge in memory.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace popbridge::test {

/// One line of a transcript.
///
///     # comment
///     include FILE         the steps of another file, relative to this one
///     set upstream=starttls mark-seen=retr      settings, before the first step (see player.cpp);
///                          "cached=60": the index store knows so many messages of the mailbox
///     P> USER alice        the client sends a line (CRLF is added)
///     P>| a\r\nb           the client sends octets as they are
///     P< +OK               popbridge answers the client with this line; "..." at the end: any rest
///     P<| octets           popbridge has answered with these octets so far, without line end
///     I> A1 NOOP           popbridge sends this line upstream; tags are A1, A2 ... (B1 ... after a
///                          reconnection)
///     I< * OK hello        the server sends a line; I<| octets as they are
///     I! connect           popbridge asks for an upstream connection, and gets it
///     I! connecting        popbridge asks for an upstream connection; I! connected: it gets it
///     I! refuse TEXT       popbridge asks for an upstream connection, and does not get it
///     I! tls               popbridge asks for TLS upstream, and gets it
///     I! securing          popbridge asks for TLS upstream; P! securing: with the client
///     I! reset TEXT        the upstream connection fails
///     I! eof               the server closes its side
///     I! closed            popbridge closes the upstream connection
///     P! tls               popbridge asks for TLS with the client, and gets it
///     P! handshaking       the client is connected to a TLS port; P! secured: TLS is there
///     P! eof, P! reset     the client closes its side; vanishes
///     P! closed            popbridge closes the client's connection after the last answer
///     P! aborted           popbridge closes the client's connection at once
///     P! congested, P! flowing   the client's side has too much queued; no more
///     P! queued 100        so many octets wait for the client
///     memory short         there is no memory for more from upstream; memory back: there is
///     lock asked           popbridge asks whether the session may have its mailbox
///     lock granted, lock changed   it may; somebody has changed it meanwhile
///     lock wanted          a newer session is to have it
///     T 300 s              so much time passes
///     drain                popbridge is told to stop
///     abort                popbridge is told to end the session at once
///     again                another session begins, of the same settings and index store; the one
///                          before must be over
///
/// In all texts \r \n \t \\ and \xNN stand for octets. Nothing else may be sent or done by
/// popbridge than what the transcript says: every answer must be named before the next step that is
/// not one.
struct Step {
  std::size_t line_number;
  std::string mark;  ///< "P>", "P>|", "P<", "P<|", "I>", "I<", "I<|", "P!", "I!", "T", "drain",
                     ///< "memory", "abort", "again", "set"
  std::string text;  ///< unescaped
};

struct Transcript {
  std::string name;
  std::vector<Step> steps;
};

/// Reads one file; throws std::runtime_error with file and line for what it does not understand.
[[nodiscard]] Transcript read_transcript(const std::string& path);

/// How received octets reach the engines.
enum class Chunking { kWhole, kBytewise, kRandom };

/// Plays it; an empty text is success, otherwise what differs, with the line number.
[[nodiscard]] std::string play(const Transcript& transcript, Chunking chunking, unsigned seed);

}  // namespace popbridge::test
