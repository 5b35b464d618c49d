#include "cache/sqlite.hpp"

#include <utility>

namespace popbridge::cache {
namespace {

/// Extended codes hold the primary one in their lowest octet.
int primary(int code) {
  return static_cast<int>(static_cast<unsigned>(code) & 0xFFU);
}

SqliteError error_of(sqlite3* database) {
  if (database == nullptr) return {SQLITE_NOMEM, "out of memory"};
  return {primary(sqlite3_extended_errcode(database)), sqlite3_errmsg(database)};
}

}  // namespace

Statement& Statement::bind(int parameter, std::string_view octets) {
  // A null pointer would bind NULL. The octets outlive the step, so that SQLite need not copy them.
  sqlite3_bind_blob64(statement_.get(), parameter, octets.empty() ? "" : octets.data(),
                      octets.size(), nullptr);
  return *this;
}

Statement& Statement::bind(int parameter, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), parameter, value);
  return *this;
}

std::expected<bool, SqliteError> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(error_of(sqlite3_db_handle(statement_.get())));
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

std::string_view Statement::octets(int column) const {
  const void* const octets = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (octets == nullptr || size <= 0) return {};
  return {static_cast<const char*>(octets), static_cast<std::size_t>(size)};
}

std::int64_t Statement::number(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::expected<Database, SqliteError> Database::open(const std::string& path) {
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  Database database(opened);
  if (code != SQLITE_OK) return std::unexpected(database.error());
  return database;
}

std::expected<void, SqliteError> Database::run(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return std::unexpected(error());
  }
  return {};
}

std::expected<Statement, SqliteError> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  Statement prepared(statement);
  if (code != SQLITE_OK) return std::unexpected(error());
  return prepared;
}

std::expected<std::int64_t, SqliteError> Database::number(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return std::unexpected(std::move(statement.error()));
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->number(0) : 0;
}

SqliteError Database::error() const {
  return error_of(database_.get());
}

}  // namespace popbridge::cache
