"""Flower's pages in a real Chromium, for the tests of what operators see."""

from __future__ import annotations

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

LOGIN = "dagy:secret"
SECONDS = 60.0
_ROWS = """
const names = [...document.querySelectorAll('.dataTables_scrollHead th')].map(each => each.dataset.column);
const rows = [...document.querySelectorAll('#tasks-table tbody tr[id]')];
return rows.map(row => Object.fromEntries([...row.cells].map((cell, i) => [names[i], cell.textContent])));
"""
_WORKERS = """
const rows = [...document.querySelectorAll('#workers-table tbody tr')];
return rows.map(row => [...row.cells].map(cell => cell.textContent.trim()));
"""
_IS_DRAWN = "return window.jQuery !== undefined && jQuery.active === 0 && document.readyState === 'complete'"


class Browser:
    """Flower's pages, as an operator sees them."""

    def __init__(self, driver: webdriver.Chrome, port: int, login: str = LOGIN) -> None:
        self.driver = driver
        self._base = f"http://127.0.0.1:{port}"
        driver.get(f"http://{login}@127.0.0.1:{port}/")  # from here on Chromium sends it by itself

    def open(self, path: str) -> None:
        """Load a page, and wait until all of it is there."""
        self.driver.execute_script("localStorage.clear()")  # the last search and its order
        self.driver.get(f"{self._base}{path}")
        self.wait_until(_IS_DRAWN, f"{path} is drawn")

    def wait_until(self, script: str, what: str) -> None:
        """Wait until a script returns true."""
        WebDriverWait(self.driver, SECONDS).until(lambda driver: driver.execute_script(script), f"not: {what}")

    def rows(self, query: str = "") -> dict[str, dict[str, str]]:
        """Return what the list of tasks shows, by task id."""
        self.open(f"/tasks{query}")
        return {row["uuid"][:36]: row for row in self.driver.execute_script(_ROWS)}

    def workers(self) -> dict[str, list[str]]:
        """Return what the page of workers shows of each: its status, its active tasks, and counts."""
        self.open("/workers")
        rows = self.driver.execute_script(_WORKERS)
        return {name: shown for name, *shown in rows}

    def details(self, task_id: str) -> dict[str, str]:
        """Return what the page of a task shows, by its labels."""
        self.open(f"/task/{task_id}")
        labels = [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, ".detail-row dt")]
        values = [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, ".detail-row dd")]
        return dict(zip(labels, values, strict=True))

    def buttons(self) -> list[str]:
        """Return the buttons that the page of a task has."""
        return [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, ".detail-actions button")]

    def press(self, button: str) -> str:
        """Press a button of a task's page; return what Flower says to it."""
        self.driver.find_element(By.ID, button).click()
        find = "document.querySelector('#toast-container .toast-body')"
        self.wait_until(f"return ({find} || {{}}).textContent", "Flower answers")
        return str(self.driver.execute_script(f"return {find}.textContent"))
