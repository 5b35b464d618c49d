// The little of SQLite that the cache file needs, as objects that clean up after themselves.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>

namespace popbridge::cache {

/// What SQLite says went wrong.
struct SqliteError {
  int code = SQLITE_OK;  ///< primary result code
  std::string text;
  /// The file holds something that SQLite cannot read.
  [[nodiscard]] bool damaged() const { return code == SQLITE_CORRUPT || code == SQLITE_NOTADB; }
  /// Another process has it.
  [[nodiscard]] bool busy() const { return code == SQLITE_BUSY || code == SQLITE_LOCKED; }
};

/// A prepared statement. Parameters count from 1, columns from 0; views of columns are valid until
/// the next step().
class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  /// `octets` must outlive the next step().
  Statement& bind(int parameter, std::string_view octets);
  Statement& bind(int parameter, std::int64_t value);
  /// True: there is a row.
  [[nodiscard]] std::expected<bool, SqliteError> step();
  /// To be run once more, with new parameters.
  void reset();
  [[nodiscard]] std::string_view octets(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;

 private:
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
};

/// One connection, for one thread at a time.
class Database {
 public:
  /// The file must exist; an empty one is an empty database.
  [[nodiscard]] static std::expected<Database, SqliteError> open(const std::string& path);

  /// One or more statements without parameters, whose rows nobody wants.
  [[nodiscard]] std::expected<void, SqliteError> run(const char* sql);
  [[nodiscard]] std::expected<Statement, SqliteError> prepare(std::string_view sql);
  /// The first column of the first row of a statement without parameters; 0 without a row.
  [[nodiscard]] std::expected<std::int64_t, SqliteError> number(std::string_view sql);

 private:
  struct Closer {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  explicit Database(sqlite3* database) : database_(database) {}
  [[nodiscard]] SqliteError error() const;

  std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace popbridge::cache
